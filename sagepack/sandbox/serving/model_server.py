"""The real serving stack of the image on a package: the toolkit, multi-model-server and Java, on loopback.

It needs a Python of its own, because the toolkit wants an older huggingface_hub than this program. That Python is named by
SAGEPACK_SERVE_PYTHON, or lies in `.venv-serve` beside the environment this program runs in.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.sandbox.serving import environment

if TYPE_CHECKING:
    from collections.abc import Mapping

PYTHON = "SAGEPACK_SERVE_PYTHON"
MODULES = ("torch", "transformers", "sagemaker_huggingface_inference_toolkit", "mms")
HOW = "`make serve-venv` installs it"

_PORTS = range(20_000, 32_000)  # multi-model-server refuses the kernel's ephemeral ports
_START_SECONDS = 120.0
_LOOK_SECONDS = 60.0
_END_SECONDS = 10.0
_LOG_LINES = 15


def python() -> Path:
    """The Python that is to have the serving stack, whether it is there or not."""
    named = os.environ.get(PYTHON)
    return Path(named) if named else Path(sys.prefix).with_name(".venv-serve") / "bin" / "python"


def available() -> str | None:
    """Why the serving stack cannot be used here; None if it can."""
    interpreter = python()
    if not interpreter.is_file():
        return f"the image's serving stack is not installed: there is no {interpreter}; {HOW}"
    if shutil.which("java") is None:
        return "the image's serving stack needs Java on the PATH"
    missing = _missing(interpreter)
    return f"{interpreter} lacks {', '.join(missing)}; {HOW}" if missing else None


@lru_cache(maxsize=4)
def _missing(interpreter: Path) -> tuple[str, ...]:
    program = f"import importlib.util as u; print(*[m for m in {MODULES!r} if not u.find_spec(m)])"
    command, own = [str(interpreter), "-c", program], environment.allowed(os.environ)
    try:
        found = subprocess.run(command, env=own, capture_output=True, text=True, check=True, timeout=_LOOK_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return ("a working interpreter",)
    return tuple(found.stdout.split())


class ModelServer:
    """One package under the serving stack, from `start` to `stop`, in a process group and a folder of its own.

    It ends with this process however that ends: the launcher watches a pipe that only this process holds.
    """

    def __init__(self, settings: Mapping[str, str]) -> None:
        """Nothing runs yet; `package` is an empty folder.

        Args:
            settings: environment that the spec gives the container.
        """
        self._settings = settings
        # A short path, because sockets lie below it.
        self._folder = Path(tempfile.mkdtemp(prefix="mms-"))
        self.package.mkdir(parents=True)
        for name in ("tmp", "home"):
            (self._folder / name).mkdir()
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def package(self) -> Path:
        """Where the extracted package must lie: what is /opt/ml/model in the container."""
        return self._folder / "ml" / "model"

    def start(self) -> str | None:
        """Start it and wait until it listens; what went wrong if it does not come up, with the end of its log."""
        with self._lock:
            if self._stopped:
                return "the container was ended"
            self._process = process = self._launch()
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"the container ended with status {process.returncode}\n{self.log()}"
            if self._pings():
                return None
            time.sleep(0.1)
        return f"the container did not answer /ping in {_START_SECONDS:.0f} s\n{self.log()}"

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self._folder / "log").open("wb") as log:
            return subprocess.Popen(
                [python(), Path(__file__).with_name("launcher.py")],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _environment(self) -> dict[str, str]:
        """What the code sees: little of the user's, the container's own, and what keeps it on loopback and in its folder."""
        address = f"http://127.0.0.1:{self._port}"
        kept = environment.allowed(os.environ)
        return {
            **kept,
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            **self._settings,
            "HF_HUB_OFFLINE": "1",
            "PATH": f"{python().parent}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self._folder / "home"),  # caches, tokens and settings of libraries lie below it
            "TMPDIR": str(self._folder / "tmp"),
            "TEMP": str(self._folder / "tmp"),
            "SAGEPACK_MMS_CONFIG": str(self._folder / "mms.properties"),
            "SAGEMAKER_BASE_DIR": str(self._folder / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            "MMS_INFERENCE_ADDRESS": address,
            "MMS_MANAGEMENT_ADDRESS": address,
        }

    def _pings(self) -> bool:
        try:
            return self._request("GET", "/ping", b"", {}, 2)[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def post(self, content: bytes, content_type: str, accept: str, timeout: float) -> tuple[int, bytes]:
        """Status and body that the server answers a request with.

        Raises:
            TimeoutError: no answer after `timeout` seconds.
            OSError: the connection broke, which it does for a request that is larger than the server takes.
        """
        headers = {"Content-Type": content_type, "Accept": accept}
        try:
            return self._request("POST", "/invocations", content, headers, timeout)
        except http.client.HTTPException as error:
            raise ConnectionError(f"no whole answer: {error!r}") from error

    def _request(
        self, method: str, path: str, content: bytes, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def log(self) -> str:
        """The last lines of the container's log."""
        try:
            lines = (self._folder / "log").read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:  # it was ended meanwhile
            return ""
        return "\n".join(lines[-_LOG_LINES:])

    def stop(self) -> None:
        """End it, all of it, also while it starts: asked to end, the server would leave its worker behind."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_END_SECONDS)
            if process.stdin:
                process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    """A port that nobody listens on, of those the server takes."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - to be unlike another's, not unguessable
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
