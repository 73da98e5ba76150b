"""One package under the image's real serving stack, on loopback: the toolkit, multi-model-server and Java.

The stack has its own Python environment (`stack`), whose interpreter the sandbox's process gets in
SAGEPACK_SERVE_PYTHON.
"""

from __future__ import annotations

import http.client
import json
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
from typing import TYPE_CHECKING, Literal

from sagepack.errors import UserError
from sagepack.serving import environment, stack
from sagepack.serving.container_log import ContainerLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

MODULES = ("torch", "transformers", "sagemaker_huggingface_inference_toolkit", "mms")
"""What the interpreter must be able to import."""

_INSTALL = "`sagepack serve.install` installs it: 1.4 GB, two minutes or more"
_PORTS = range(20_000, 32_000)  # multi-model-server rejects the kernel's ephemeral ports
_START_SECONDS = 120.0
_LOADED = "Model model loaded io_fd="  # the worker, whatever `model_fn` did
_NOT_LOADED = "Load model failed: model"  # the server, of a worker that ended before; it would start others without end
_LATE_LINES = 0.3  # seconds in which the server passes on what a worker wrote before it ended
RELOAD = "application/x-sagepack-reload"  # as in `reloading`
_RELOADING = "sagepack_reloading"  # the name under which the worker imports a copy of that module
_PROBE_SECONDS = 60.0
_STOP_SECONDS = 10.0


Order = Literal["keep", "call", "undo", "settle"]
"""Import the code and keep what `model_fn` returned, or call it again; put back what was before, or forget it."""


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


def python(root: Path | None = None) -> Path:
    """The interpreter for the serving stack of a project, by default that of the working folder; the file may not exist."""
    return stack.interpreter(root or Path.cwd())


def unavailable(root: Path | None = None) -> str | None:
    """Why the serving stack of a project cannot be used on this machine, and what to do, as one message; None if it can."""
    found = problem(root)
    return "; ".join(found) if found else None


def problem(root: Path | None = None) -> tuple[str, str] | None:
    """Why the serving stack of a project cannot be used on this machine, and what to do; None if it can."""
    interpreter = python(root)
    named = stack.is_named(interpreter)
    install = f"correct {stack.PYTHON}, or remove it from the environment" if named else _INSTALL
    if not interpreter.is_file():
        missing = f"{stack.PYTHON} names no Python: there is no file {interpreter}"
        return missing if named else "the image's serving stack is not installed", install
    if java := stack.java_problem():
        return java, stack.JAVA_FIX
    modules = _missing_modules(interpreter)
    return (f"{interpreter} cannot import {', '.join(modules)}", install) if modules else None


def require(root: Path) -> None:
    """See that the serving stack of a project can be used on this machine.

    Raises:
        UserError: it cannot.
    """
    if found := problem(root):
        message, fix = found
        raise UserError(message, fix=fix)


@lru_cache(maxsize=4)
def _missing_modules(interpreter: Path) -> tuple[str, ...]:
    program = f"import importlib.util as u; print(*[m for m in {MODULES!r} if not u.find_spec(m)])"
    command, kept = [str(interpreter), "-c", program], environment.allowed(os.environ)
    try:
        found = subprocess.run(command, env=kept, capture_output=True, text=True, check=True, timeout=_PROBE_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return MODULES
    return tuple(found.stdout.split())


def post(port: int, request: InferenceRequest) -> tuple[int, bytes]:
    """Send a request to a server on 127.0.0.1 and return status and body of the response.

    Raises:
        TimeoutError: no response after `request.timeout` seconds.
        OSError: the connection broke; the server closes it when a request exceeds its maximum size.
    """
    headers = {"Content-Type": request.content_type, "Accept": request.accept}
    try:
        return _send(port, "POST", "/invocations", request.body, headers, request.timeout)
    except http.client.HTTPException as error:
        raise ConnectionError(f"incomplete response: {error!r}") from error


def _send(port: int, method: str, path: str, body: bytes, headers: dict[str, str], timeout: float) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


class ModelServer:
    """A package under the serving stack, from `start` to `stop`, in its own process group and folder.

    It ends when this process ends, even by SIGKILL: the launcher watches a pipe that only this process holds open.

    Attributes:
        start_seconds: how long it may take until it responds.
    """

    start_seconds = _START_SECONDS

    def __init__(
        self,
        settings: Mapping[str, str],
        log: Callable[[Sequence[str]], None],
        *,
        interpreter: Path | None = None,
        port: int = 0,
        reloads: bool = False,
    ) -> None:
        """Make the folders; nothing runs yet.

        Args:
            settings: environment variables that the model defines for the container.
            log: takes the lines that it writes, from another thread, until `stop`.
            interpreter: that of the serving stack; None for `python`.
            port: the port; 0 for a free one.
            reloads: whether it can `reload` the package's code.
        """
        self._settings, self._pass_on, self._log = settings, log, ContainerLog(self._saw)
        self._loaded, self._failed = threading.Event(), threading.Event()
        self._packages: Path | None = None
        self._interpreter, self._reloads = interpreter or python(), reloads
        # A short path: Unix sockets are made in it, whose paths may have at most 108 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="mms-"))
        self.package.mkdir(parents=True)
        for path in (self._folder / "tmp", self._folder / "home", self._handler):
            path.mkdir()
        self._port = port or _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def _handler(self) -> Path:
        return self._folder / "handler"

    @property
    def package(self) -> Path:
        """The folder for the extracted package, /opt/ml/model in the image; empty at first."""
        return self._folder / "ml" / "model"

    @property
    def url(self) -> str:
        """Its address, `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        """Its port."""
        return self._port

    def start(self, packages: Path | None = None) -> str | None:
        """Start the server and wait until it responds to /ping; None then, otherwise what went wrong, with the end of the log.

        Args:
            packages: a folder of Python packages that the package's code finds before those of the stack (`overlay`).
        """
        with self._lock:
            if self._stopped:
                return "the container was stopped"
            self._packages = packages
            if self._reloads:
                shutil.copyfile(Path(__file__).with_name("reloading.py"), self._handler / f"{_RELOADING}.py")
            self._process = process = subprocess.Popen(
                self._command(),
                cwd=self._folder,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            if process.stdout:
                self._log.follow(process.stdout)
        deadline = time.monotonic() + self.start_seconds
        while time.monotonic() < deadline:
            if process.poll() is not None:
                return f"the container ended with status {process.returncode}\n{self._log.end()}"
            if self._pings():
                return None
            time.sleep(0.1)
        return f"the container did not respond to /ping within {self.start_seconds:.0f} s\n{self._log.end()}"

    def wait_loaded(self) -> str | None:
        """Wait until the worker has called `model_fn`, whatever came of that; otherwise what went wrong, with the end of the log.

        The server responds to /ping long before. It may take as long as the model does.
        """
        while not self._loaded.wait(0.05):
            if not self.alive():
                return f"the container ended\n{self._log.end()}"
            if self._failed.is_set():
                time.sleep(_LATE_LINES)
                return f"the worker ended before it had loaded the model\n{self._log.end()}"
        return None

    def _saw(self, lines: Sequence[str]) -> None:
        """Look for news in the log, and pass it on."""
        for line in lines:
            if _LOADED in line:
                self._loaded.set()
            elif _NOT_LOADED in line:
                self._failed.set()
        self._pass_on(lines)

    def reload(self, order: Order, timeout: float) -> tuple[int, bytes]:
        """Have the worker import the package's code again, which is that in the folder now; or settle what came of that.

        Args:
            order: what it does.
            timeout: seconds that it may take.

        Returns:
            Status and body of the response. If it is not 200, code and model from before go on to serve.

        Raises:
            TimeoutError, OSError: as `post`.
        """
        return self.post(InferenceRequest(json.dumps(order).encode(), RELOAD, "application/json", timeout))

    def _command(self) -> list[str]:
        """What is run; it is killed with all that it starts."""
        return [str(self._interpreter), str(Path(__file__).with_name("launcher.py"))]

    def _environment(self) -> dict[str, str]:
        """The environment of the server and of the package's code.

        The allowed variables of the user, the container's own, then what keeps it on loopback and in its folder.
        """
        kept = environment.allowed(os.environ)
        return {
            **kept,
            "PYTHONUNBUFFERED": "1",  # as in the image
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            **self._settings,
            "HF_HUB_OFFLINE": "1",
            "PATH": f"{self._interpreter.parent}{os.pathsep}{kept.get('PATH', '')}",
            "HOME": str(self._folder / "home"),  # caches, tokens and settings of libraries are below it
            "TMPDIR": str(self._folder / "tmp"),
            "TEMP": str(self._folder / "tmp"),
            "SAGEPACK_MMS_CONFIG": str(self._folder / "mms.properties"),
            "SAGEPACK_PYTHONPATH": os.pathsep.join(
                map(str, [*([self._handler] if self._reloads else []), *([self._packages] if self._packages else [])])
            ),
            **({"SAGEPACK_HANDLER_SERVICE": _RELOADING} if self._reloads else {}),
            "SAGEMAKER_BASE_DIR": str(self._folder / "ml"),
            "SAGEMAKER_BIND_TO_PORT": str(self._port),
            "MMS_INFERENCE_ADDRESS": self.url,
            "MMS_MANAGEMENT_ADDRESS": self.url,
        }

    def _pings(self) -> bool:
        try:
            return _send(self._port, "GET", "/ping", b"", {}, 2)[0] == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False

    def alive(self) -> bool:
        """Whether the launcher's process runs."""
        return self._process is not None and self._process.poll() is None

    def post(self, request: InferenceRequest) -> tuple[int, bytes]:
        """As the function `post`."""
        return post(self._port, request)

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
