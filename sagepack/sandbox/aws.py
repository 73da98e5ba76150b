"""The sandbox's AWS: moto's server on 127.0.0.1, behind the overlays for what it lacks."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.activity import Activity
from sagepack.sandbox.process import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

REGION = "us-east-1"
BUCKET = "sagepack-sandbox"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagepack-sandbox"


class AwsServer:
    """The server. It listens from `start` to `stop`; what it holds lives in this process, so make one in a process."""

    def __init__(self, activity: Activity | None = None) -> None:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
        from werkzeug.serving import make_server

        class Quiet(MotoRequestHandler):
            disable_nagle_algorithm = True

            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
                del type, message, args

        self.activity = activity or Activity()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self.activity.busy():
            answer: Iterable[bytes] = self._moto(environ, start_response)
            return answer

    @property
    def url(self) -> str:
        """What `AWS_ENDPOINT_URL` should be."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        """Seed, then serve from a thread of its own."""
        self.reset()
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="aws", daemon=True).start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def reset(self) -> None:
        """Forget everything, then make the bucket and the role."""
        from moto.core.base_backend import BackendDict
        from moto.core.model_instances import reset_model_data
        from moto.iam.models import iam_backends
        from moto.s3.models import s3_backends

        BackendDict.reset()
        reset_model_data()
        s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, REGION)
        iam_backends[ACCOUNT]["aws"].create_role(
            role_name=ROLE.rpartition("/")[2],
            assume_role_policy_document="{}",
            path="/",
            permissions_boundary=None,
            description="what endpoints of the sandbox run as",
            tags=[],
            max_session_duration="3600",
        )
