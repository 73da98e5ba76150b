"""One package under the image's real serving stack, on loopback: the toolkit, multi-model-server and Java.

The stack has its own Python environment (`stack`), whose interpreter the sandbox's process gets in
SAGEPACK_SERVE_PYTHON.
"""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.serving import environment, stack
from sagepack.serving.container_log import ContainerLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODULES = ("torch", "transformers", "sagemaker_huggingface_inference_toolkit", "mms")
"""What the interpreter must be able to import."""

_INSTALL = "`sagepack serve.install` installs it"
_PORTS = range(20_000, 32_000)  # multi-model-server rejects the kernel's ephemeral ports
_START_SECONDS = 120.0
_PROBE_SECONDS = 60.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True)
class InferenceRequest:
    """A request for a package.

    Attributes:
        body: the body.
        content_type: media type of the body.
        accept: media type that the response should have.
        timeout: seconds that the response may take; the start of the container is not counted.
    """

    body: bytes
    content_type: str
    accept: str
    timeout: float


def python() -> Path:
    """The interpreter for the serving stack; the file may not exist."""
    return stack.interpreter(Path.cwd())


def unavailable() -> str | None:
    """Why the serving stack cannot be used on this machine, as a message; None if it can."""
    interpreter = python()
    if not interpreter.is_file():
        named = f": there is no {interpreter}, which {stack.PYTHON} names" if os.environ.get(stack.PYTHON) else ""
        return f"the image's serving stack is not installed{named}; {_INSTALL}"
    if problem := stack.java_problem():
        return problem
    missing = _missing_modules(interpreter)
    return f"{interpreter} cannot import {', '.join(missing)}; {_INSTALL}" if missing else None


@lru_cache(maxsize=4)
def _missing_modules(interpreter: Path) -> tuple[str, ...]:
    program = f"import importlib.util as u; print(*[m for m in {MODULES!r} if not u.find_spec(m)])"
    command, kept = [str(interpreter), "-c", program], environment.allowed(os.environ)
    try:
        found = subprocess.run(command, env=kept, capture_output=True, text=True, check=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return MODULES
    return tuple(found.stdout.split())


class ModelServer:
    """A package under the serving stack, from `start` to `stop`, in its own process group and folder.

    It ends when this process ends, even by SIGKILL: the launcher watches a pipe that only this process holds open.
    """

    def __init__(self, settings: Mapping[str, str], log: Callable[[Sequence[str]], None]) -> None:
        """Make the folders; nothing runs yet.

        Args:
            settings: environment variables that the model defines for the container.
            log: takes the lines that it writes, from another thread, until `stop`.
        """
        self._settings, self._log = settings, ContainerLog(log)
        # A short path: Unix sockets are made in it, whose paths may have at most 108 bytes.
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
        """The folder for the extracted package, /opt/ml/model in the image; empty at first."""
        return self._folder / "ml" / "model"

    def start(self) -> str | None:
        """Start the server and wait until it responds to /ping; None then, otherwise what went wrong, with the end of the log."""
        with self._lock:
            if self._stopped:
                return "the container was stopped"
            self._process = process = subprocess.Popen(
                [python(), Path(__file__).with_name("launcher.py")],
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if process.stdout:
                self._log.follow(process.stdout)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"the container ended with status {process.returncode}\n{self._log.end()}"
            if self._pings():
                return None
            time.sleep(0.1)
        return f"the container did not respond to /ping within {_START_SECONDS:.0f} s\n{self._log.end()}"

    def _environment(self) -> dict[str, str]:
        """The environment of the server and of the package's code.

        The allowed variables of the user, the container's own, then what keeps it on loopback and in its folder.
        """
        address = f"http://127.0.0.1:{self._port}"
        kept = environment.allowed(os.environ)
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",  # as in the image
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            **self._settings,
            "HF_HUB_OFFLINE": "1",
            "PATH": f"{python().parent}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self._folder / "home"),  # caches, tokens and settings of libraries are below it
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
        """Whether the launcher's process runs."""
        return self._process is not None and self._process.poll() is None

    def post(self, request: InferenceRequest) -> tuple[int, bytes]:
        """Send a request and return status and body of the response.

        Raises:
            TimeoutError: no response after `request.timeout` seconds.
            OSError: the connection broke; the server closes it when a request exceeds its maximum size.
        """
        headers = {"Content-Type": request.content_type, "Accept": request.accept}
        try:
            return self._request("POST", "/invocations", request.body, headers, request.timeout)
        except http.client.HTTPException as error:
            raise ConnectionError(f"incomplete response: {error!r}") from error

    def _request(
        self, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def stop(self) -> None:
        """Stop the server with all its processes, also while it starts, and remove its folder.

        By SIGKILL to the process group: on SIGTERM, multi-model-server would leave its worker running.
        """
        with self._lock:
            self._stopped = True
            process = self._process
        self._log.close()
        if process is not None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_SECONDS)
            if process.stdin:
                process.stdin.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_port() -> int:
    """A free port, of those that multi-model-server accepts."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 - to avoid collisions, not to be secret
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
