"""Hub and AWS together, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.sandbox import process
from sagepack.sandbox.activity import Activity
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws import server as aws
from sagepack.sandbox.credentials import Credentials
from sagepack.sandbox.hub import api
from sagepack.sandbox.hub.server import Hub

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.faults import Faults


class Service:
    """The sandbox: listens from `start` to `stop`, and starts over with `reset`.

    Attributes:
        activity: what is under way on either server.
        credentials: what opens both.
        hub: the Hub, with `content`, `faults` and the log of requests.
        aws: AWS.
    """

    stranger_token = api.STRANGER_TOKEN
    account, region, bucket, role = process.ACCOUNT, process.REGION, moto_state.BUCKET, moto_state.ROLE

    def __init__(self, models: Path) -> None:
        self.activity = Activity()
        self.models = models
        self.credentials = Credentials.random()
        self.hf_token = self.credentials.hf_token
        self.access_key, self.secret_key = self.credentials.access_key, self.credentials.secret_key
        self.hub = Hub(self.activity, self.credentials)
        self.aws = aws.AwsServer(self.activity, self.credentials)

    @property
    def hub_url(self) -> str:
        """What `HF_ENDPOINT` should be."""
        return self.hub.url

    @property
    def aws_url(self) -> str:
        """What `AWS_ENDPOINT_URL` should be."""
        return self.aws.url

    @property
    def faults(self) -> Faults:
        """What goes wrong at the Hub."""
        return self.hub.faults

    def start(self) -> None:
        """Seed both servers and listen."""
        self._seed_hub()
        self.hub.start()
        self.aws.start()

    def stop(self) -> None:
        """Stop listening."""
        self.hub.stop()
        self.aws.stop()

    def reset(self) -> None:
        """Switch all faults off and put both servers back to how they started; files of the models stay."""
        self.hub.faults.clear()
        self._seed_hub()
        self.aws.reset()

    def _seed_hub(self) -> None:
        from sagepack.sandbox.miniatures import models as miniature

        for name in self.hub.content.names():
            self.hub.content.remove(name)
        for model in miniature.MODELS:
            folder = miniature.ensure(model, self.models)
            self.hub.content.add(model.name, folder, commit=model.commit, gated=model.gated)
