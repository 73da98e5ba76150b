"""The sandbox's background process, seen from outside: start it, find it, stop it.

<root>/build/sandbox/    readable by its owner only
state.json       addresses of the servers and the secrets that give access; the process writes it when the servers
                 listen, and ends when the file is removed
log              output of the process
starting.lock    held by a command while it starts or stops the process, so that two commands start only one
running.lock     held by the process until it ends
models/          the miniature models
own-models.json  the user's own models, which every sandbox of the project serves

No signal is ever sent: after a crash, the process id in the state file may belong to another program.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from sagepack import files
from sagepack.decoding import MalformedError, Sha256Hex, decode_json
from sagepack.errors import UserError
from sagepack.sandbox.identity import ACCOUNT, CONTROL_HEADER, REGION, Credentials, proof
from sagepack.serving import environment, stack

if TYPE_CHECKING:
    from collections.abc import Iterator

READY = b"ready\n"
"""What the process writes to its `--ready` file descriptor once the servers listen."""
OWN_MODELS = "own-models.json"
IDLE_SECONDS = 1800.0
STOP_SECONDS = 10.0

_START_SECONDS = 60.0
_RESPONSE_SECONDS = 5.0
_ANSWER_SECONDS = 90.0  # it may look first what the serving stack can import
_RESPONSE_BYTES = 1 << 16

_Url = Annotated[str, Meta(pattern=r"\Ahttp://127\.0\.0\.1:[1-9][0-9]{0,4}\Z")]
_Pid = Annotated[int, Meta(gt=1, lt=1 << 31)]


class _State(msgspec.Struct, frozen=True):
    """state.json."""

    pid: _Pid
    hub_url: _Url
    aws_url: _Url
    access_key: Annotated[str, Meta(pattern=r"\A[A-Z0-9]{20}\Z")]
    secret_key: Annotated[str, Meta(pattern=r"\A[\w-]{40}\Z")]
    hf_token: Annotated[str, Meta(pattern=r"\Ahf_[0-9a-f]{34}\Z")]
    control_token: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")] = msgspec.field(name="control")
    fingerprint: Sha256Hex

    def __post_init__(self) -> None:
        for url in (self.hub_url, self.aws_url):
            if int(url.rpartition(":")[2]) > 65535:
                raise ValueError(f"{url} is not a valid address")


class _Alive(msgspec.Struct, frozen=True):
    """The document at `/_sandbox/alive`."""

    pid: _Pid
    proof: Sha256Hex


class _Answers(msgspec.Struct, frozen=True):
    """The document at `/_sandbox/answers`."""

    problem: str | None


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        hub_url: address of the Hub, for `HF_ENDPOINT`.
        aws_url: the endpoint URL of all AWS services.
        pid: process id.
        log: its log file.
        access_key: access key id for its AWS.
        secret_key: the secret access key that requests to its AWS are signed with.
        hf_token: a token with access to every gated repository of the Hub.
        control_token: value of the `X-Sandbox-Token` header for the servers' control routes under `/_sandbox/`.
        fingerprint: SHA-256 of the code that the process runs (`fingerprint`).
        account: account of the access key.
        region: region of its bucket.
    """

    hub_url: str
    aws_url: str
    pid: int
    log: Path
    access_key: str
    secret_key: str = field(repr=False)
    hf_token: str = field(repr=False)
    control_token: str = field(repr=False)
    fingerprint: str
    account: str = ACCOUNT
    region: str = REGION


def folder(root: Path) -> Path:
    """The folder in which the sandbox of the project at `root` keeps its files."""
    return root.absolute() / "build" / "sandbox"


def ensure(root: Path, *, idle: float = IDLE_SECONDS) -> Sandbox:
    """Return the running sandbox of the project at `root`; start one if there is none.

    A process that runs other code than this program is stopped and replaced. Objects and endpoints live
    in the process and end with it; the files of the miniature models, and the names of own models, stay on disk.

    Args:
        root: the project.
        idle: a process started here ends after this many seconds without a request.

    Raises:
        UserError: moto is not installed, or the process ended during its start or was not ready in time.
    """
    found = status(root)
    if found and found.fingerprint == fingerprint():
        return found
    missing = [name for name in ("moto", "flask", "flask_cors", "py_partiql_parser") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"the sandbox needs packages that are not installed: {', '.join(missing)}",
            fix=f"install them: {_install_line()}",
        )
    with _start_lock(root):
        found = status(root)  # another command may have started it meanwhile
        if found and found.fingerprint == fingerprint():
            return found
        _stop(root, found)
        _start(root, idle)
        found = status(root)
    if found is None:
        raise _start_error(folder(root) / "log", "ended as soon as it was ready")
    return found


def status(root: Path) -> Sandbox | None:
    """The running sandbox of the project at `root`, or None.

    The state file alone is not believed: the server at its address must prove that it knows the secret in the file.
    """
    try:
        state = decode_json(_state_path(root).read_bytes(), _State, limit=_RESPONSE_BYTES)
    except (OSError, MalformedError):
        return None
    found = Sandbox(**msgspec.structs.asdict(state), log=folder(root) / "log")
    return found if _is_alive(found) else None


def stop(root: Path) -> bool:
    """Stop the sandbox of the project at `root`; False if none was running.

    Raises:
        UserError: it did not end in time.
    """
    if not _state_path(root).exists():
        return False
    with _start_lock(root):
        found = status(root)
        _stop(root, found)
    return found is not None


def remove(root: Path) -> None:
    """Stop the sandbox of the project at `root` and remove its files, except locks: another command may wait for one.

    Raises:
        UserError: it did not end in time, or a file cannot be removed.
    """
    if not folder(root).is_dir():
        return
    with _start_lock(root):
        _stop(root, status(root))
        for path in folder(root).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.suffix != ".lock":
                path.unlink()


def unanswerable(sandbox: Sandbox) -> str | None:
    """Why its endpoints cannot answer a request, such as a serving stack that is not installed; None if they can.

    Raises:
        UserError: it does not say so.
    """
    import http.client

    connection = http.client.HTTPConnection(urlsplit(sandbox.aws_url).netloc, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/_sandbox/answers", headers={CONTROL_HEADER: sandbox.control_token})
        return decode_json(connection.getresponse().read(_RESPONSE_BYTES), _Answers).problem
    except (OSError, http.client.HTTPException, MalformedError) as error:
        fix = "run the same command again, which starts it if it has ended"
        raise UserError(f"the sandbox does not say whether it can answer requests: {error}", fix=fix) from error
    finally:
        connection.close()


def write_state(root: Path, hub_url: str, aws_url: str, credentials: Credentials) -> None:
    """Write the state file of this process. The caller's umask must keep it from other users."""
    state = _State(
        pid=os.getpid(),
        hub_url=hub_url,
        aws_url=aws_url,
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        hf_token=credentials.hf_token,
        control_token=credentials.control_token,
        fingerprint=fingerprint(),
    )
    files.write_atomically(_state_path(root), msgspec.json.format(msgspec.json.encode(state)))


def owns_state(root: Path, credentials: Credentials) -> bool:
    """Whether the state file is there and was written for the sandbox with these credentials."""
    try:
        return credentials.control_token in _state_path(root).read_text(encoding="utf-8")
    except OSError:
        return False


def remove_state(root: Path) -> None:
    """Remove the state file, which ends the process that wrote it; no error if there is none."""
    _state_path(root).unlink(missing_ok=True)


def fingerprint() -> str:
    """SHA-256 of the sandbox's code and the table of images: a process with another fingerprint may behave differently."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    spec = here.parent / "spec"
    for file in (*sorted(here.rglob("*.py")), spec / "images.py", spec / "data" / "images.json"):
        digest.update(str(file.relative_to(here.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _state_path(root: Path) -> Path:
    return folder(root) / "state.json"


@contextmanager
def _start_lock(root: Path) -> Iterator[None]:
    """Hold the lock of the one command that may start or stop the sandbox; its folder is made, with access for the user only.

    Raises:
        UserError: the folder cannot be created or written, or another command holds the lock for too long.
    """
    from filelock import FileLock, Timeout

    place = folder(root)
    try:
        place.mkdir(parents=True, exist_ok=True)
        place.chmod(0o700)
        with FileLock(place / "starting.lock", timeout=_START_SECONDS + STOP_SECONDS):
            yield
    except Timeout as error:
        fix = "end that command and run this one again"
        raise UserError("another command is starting the sandbox", where=error.lock_file, fix=fix) from error
    except OSError as error:
        message = f"the sandbox cannot write its files: {error.strerror}"
        raise files.disk_error(error, place).with_context(message=message) from error


def _stop(root: Path, found: Sandbox | None) -> None:
    """Remove the state file and wait until the process that wrote it has ended.

    Raises:
        UserError: it did not end in time.
    """
    from filelock import FileLock, Timeout

    remove_state(root)
    running = folder(root) / "running.lock"
    try:
        with FileLock(running, timeout=STOP_SECONDS):
            pass
    except Timeout as error:
        fix = f"kill -9 {found.pid}" if found else f"end the process that `fuser {running}` shows"
        raise UserError("the sandbox does not end", where=str(running), fix=fix) from error


def _is_alive(sandbox: Sandbox) -> bool:
    """Whether a server listens at the Hub's address and proves that it is this sandbox.

    Another program, on a port that an ended sandbox has left, cannot. The request goes over a bare socket, because
    importing an HTTP client takes longer than the exchange itself.
    """
    host, nonce = urlsplit(sandbox.hub_url).netloc, secrets.token_hex(16)
    deadline = time.monotonic() + _RESPONSE_SECONDS
    request = f"GET /_sandbox/alive?nonce={nonce} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    address, _, port = host.partition(":")
    response = b""
    try:
        with socket.create_connection((address, int(port)), timeout=_RESPONSE_SECONDS) as connection:
            connection.sendall(request.encode())
            while len(response) < _RESPONSE_BYTES and (data := connection.recv(4096)):
                response += data
                connection.settimeout(max(0.0, deadline - time.monotonic()))
        head, _, body = response.partition(b"\r\n\r\n")
        alive = decode_json(body, _Alive)
    except (OSError, MalformedError):  # nothing listens there, it is too slow, or it is another program
        return False
    expected = proof(sandbox.control_token, nonce)
    return head.startswith(b"HTTP/1.1 200 ") and alive.pid == sandbox.pid and hmac.compare_digest(alive.proof, expected)


def _start(root: Path, idle: float) -> None:
    """Start the process and wait until it reports over a pipe that it is ready, or has ended."""
    log = folder(root) / "log"
    reader, writer = os.pipe()
    command = [sys.executable, "-m", __package__, "--root", str(root.absolute()), "--idle", str(idle), "--detach"]
    try:
        with open(log, "wb", opener=_open_private) as output:
            # The command forks and exits at once, so that the process that stays is not a child of this one.
            subprocess.run(
                [*command, "--ready", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(root),
                pass_fds=[writer],
                start_new_session=True,
                check=False,
                timeout=_START_SECONDS,
            )
        os.close(writer)
        writer = -1
        waiting = select.poll()
        waiting.register(reader, select.POLLIN)
        received = os.read(reader, len(READY)) if waiting.poll(_START_SECONDS * 1000) else None
    except subprocess.TimeoutExpired:
        received = None
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if received is None:
        raise _start_error(log, f"was not ready within {_START_SECONDS:.0f} s")
    if received != READY:  # the pipe was closed: the process has ended
        raise _start_error(log, "ended during its start")


def _open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can read; a symbolic link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def _environment(root: Path) -> dict[str, str]:
    """The environment of the process: what Python needs to find this code and its imports, but no credentials and settings."""
    kept = environment.allowed(os.environ)
    # Packages installed with --user are below HOME. Its pip, which installs what packages require, needs the user's index.
    for name, value in os.environ.items():
        if name in {"HOME", "PYTHONHOME", "PYTHONUSERBASE"} or (name.startswith("PIP_") and "@" not in value):
            kept[name] = value
    kept[stack.PYTHON] = str(stack.interpreter(root.absolute()))
    here = str(Path(__file__).parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    # moto imports botocore, which would read ~/.aws and query the metadata service of an EC2 machine for credentials.
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _install_line() -> str:
    """The command that installs what the sandbox needs: by name, since no index is known to have sagepack itself."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        declared = requires("sagepack") or []
    except PackageNotFoundError:  # a checkout that is not installed
        return "run the command through make, which keeps .venv complete"
    needed = [text.partition(";")[0].strip() for text in declared if "sandbox" in text.partition(";")[2]]
    return shlex.join([sys.executable, "-m", "pip", "install", *needed])


def _start_error(log: Path, problem: str) -> UserError:
    """The error of a failed start, with the last line of the log: of a traceback the one that says what failed."""
    lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    fix = "make room on its disk and run the same command again"
    if os.strerror(errno.ENOSPC) not in last:
        fix = "fix what the log reports and run the same command again"
    return UserError(f"the sandbox {problem}", where=str(log), fix=fix, details=[last] if last else [])
