"""The sandbox's background process, seen from outside: start it if need be, find it, end it.

<root>/build/sandbox/    readable by its owner only
state.json       where the servers listen and what opens them; written when they listen; the process ends when it is gone
log              what the process had to say
starting.lock    held by the command that starts or ends a process: two commands start one
running.lock     held by the process for its life
models/          the miniature models

No process is ever signalled: the id in a state file that a crash left behind may be another's by now.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import select
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

from sagepack.decoding import MalformedError, Sha256Hex, decode_json
from sagepack.errors import UserError
from sagepack.sandbox.serving import environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.servers import Service

ACCOUNT, REGION = "123456789012", "us-east-1"
READY = b"ready\n"
IDLE_SECONDS = 1800.0
STOP_SECONDS = 10.0

_START_SECONDS = 60.0
_ANSWER_SECONDS = 5.0
_ANSWER_BYTES = 1 << 16
_LOG_LINES = 15

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
    control: Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
    fingerprint: Sha256Hex

    def __post_init__(self) -> None:
        for url in (self.hub_url, self.aws_url):
            if int(url.rpartition(":")[2]) > 65535:
                raise ValueError(f"{url} is no address")


class _Alive(msgspec.Struct, frozen=True):
    """What the sandbox answers at `/_sandbox/alive`."""

    pid: _Pid
    proof: Sha256Hex


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        hub_url: the Hub; what `HF_ENDPOINT` would be.
        aws_url: one endpoint for all services of AWS.
        pid: the process.
        log: its log file.
        access_key: access key id of its AWS.
        secret_key: the key that requests to AWS are signed with.
        hf_token: a token with access to every gated repository of the Hub.
        control: value of the `X-Sandbox-Token` header that opens the servers' routes under `/_sandbox/`.
        fingerprint: of the code that it runs.
        account: account of the access key.
        region: where its bucket is.
    """

    hub_url: str
    aws_url: str
    pid: int
    log: Path
    access_key: str
    secret_key: str = field(repr=False)
    hf_token: str = field(repr=False)
    control: str = field(repr=False)
    fingerprint: str
    account: str = ACCOUNT
    region: str = REGION


def folder(root: Path) -> Path:
    """Where the sandbox of a project keeps its files."""
    return root.absolute() / "build" / "sandbox"


def ensure(root: Path, *, idle: float = IDLE_SECONDS) -> Sandbox:
    """The sandbox of the project at `root`, started if none is alive.

    A process of other code than this is ended and replaced. What the sandbox holds lives in its process, apart from
    the files of the models.

    Args:
        root: the project.
        idle: a process started here ends after so many seconds without a request.

    Raises:
        UserError: moto is not installed, or the process died at its start or did not get ready.
    """
    found = status(root)
    if found and found.fingerprint == fingerprint():
        return found
    _need_moto()
    with _starting(root):
        found = status(root)  # another command may have been first
        if found and found.fingerprint == fingerprint():
            return found
        _end(root, found)
        _start(root, idle)
        found = status(root)
    if found is None:
        raise _died(folder(root) / "log", "ended as soon as it was ready")
    return found


def status(root: Path) -> Sandbox | None:
    """The sandbox of the project at `root` if it is alive: the server proves that it knows the secret of the state file."""
    try:
        state = decode_json((folder(root) / "state.json").read_bytes(), _State, limit=_ANSWER_BYTES)
    except (OSError, MalformedError):
        return None
    found = Sandbox(**msgspec.structs.asdict(state), log=folder(root) / "log")
    return found if _answers(found) else None


def stop(root: Path) -> bool:
    """End the sandbox of the project at `root`; False if none was alive.

    Raises:
        UserError: it did not end.
    """
    if not (folder(root) / "state.json").exists():
        return False
    with _starting(root):
        found = status(root)
        _end(root, found)
    return found is not None


def remove(root: Path) -> None:
    """End the sandbox of the project at `root` and remove its files, but for locks: another command may wait at one.

    Raises:
        UserError: it did not end, or a file cannot be removed.
    """
    if not folder(root).is_dir():
        return
    with _starting(root):
        _end(root, status(root))
        for path in folder(root).iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.suffix != ".lock":
                path.unlink()


@contextmanager
def _starting(root: Path) -> Iterator[None]:
    """Be the only command that starts or ends the sandbox of a project, in a folder that is the user's alone.

    Raises:
        UserError: the folder cannot be made or written, or another command starts a sandbox without end.
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
        raise UserError(f"the sandbox has no place for its files: {error.strerror}", where=str(place)) from error


def _end(root: Path, found: Sandbox | None) -> None:
    """Remove the state file, which ends the process that wrote it, and wait until that has ended.

    Raises:
        UserError: it did not end.
    """
    from filelock import FileLock, Timeout

    (folder(root) / "state.json").unlink(missing_ok=True)
    running = folder(root) / "running.lock"
    try:
        with FileLock(running, timeout=STOP_SECONDS):
            pass
    except Timeout as error:
        fix = f"kill -9 {found.pid}" if found else f"end the process that `fuser {running}` shows"
        raise UserError("the sandbox does not end", where=str(running), fix=fix) from error


def write_state(root: Path, service: Service) -> None:
    """Say where the servers of this process listen, all at once and to nobody else."""
    path = folder(root) / "state.json"
    opens = service.credentials
    state = _State(
        pid=os.getpid(),
        hub_url=service.hub_url,
        aws_url=service.aws_url,
        access_key=opens.access_key,
        secret_key=opens.secret_key,
        hf_token=opens.hf_token,
        control=opens.control,
        fingerprint=fingerprint(),
    )
    part = path.with_name(".state.json")  # this process alone holds running.lock
    part.unlink(missing_ok=True)
    with open(part, "xb", opener=_private) as file:
        file.write(msgspec.json.format(msgspec.json.encode(state)))
    part.replace(path)


def _private(path: str, flags: int) -> int:
    """Open a file that only its owner can read; a link is not followed."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o600)


def fingerprint() -> str:
    """SHA-256 over the code of the sandbox: a process of other code would answer in other ways."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    spec = here.parent / "spec"
    for file in (*sorted(here.rglob("*.py")), spec / "images.py", spec / "data" / "images.json"):
        digest.update(str(file.relative_to(here.parent)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _answers(sandbox: Sandbox) -> bool:
    """Whether the server proves that it is this sandbox; another program, on a port that was freed, cannot.

    A request over a bare socket, because importing an HTTP client takes longer than the question.
    """
    host, nonce, deadline = urlsplit(sandbox.hub_url).netloc, secrets.token_hex(16), time.monotonic() + _ANSWER_SECONDS
    request = f"GET /_sandbox/alive?nonce={nonce} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    address, _, port = host.partition(":")
    answer = b""
    try:
        with socket.create_connection((address, int(port)), timeout=_ANSWER_SECONDS) as connection:
            connection.sendall(request.encode())
            while len(answer) < _ANSWER_BYTES and (piece := connection.recv(4096)):
                answer += piece
                connection.settimeout(max(0.0, deadline - time.monotonic()))
        head, _, body = answer.partition(b"\r\n\r\n")
        alive = decode_json(body, _Alive)
    except (OSError, MalformedError):  # nobody there, too slow, or another program
        return False
    expected = proof(sandbox.control, nonce)
    return head.startswith(b"HTTP/1.1 200 ") and alive.pid == sandbox.pid and hmac.compare_digest(alive.proof, expected)


def proof(control: str, nonce: str) -> str:
    """What only a process that knows `control` answers to `nonce` at `/_sandbox/alive`; `control` itself is not sent."""
    return hmac.digest(control.encode(), f"alive {nonce}".encode(), "sha256").hex()


def _need_moto() -> None:
    missing = [name for name in ("moto", "flask", "flask_cors", "py_partiql_parser") if find_spec(name) is None]
    if missing:
        raise UserError(
            f"the sandbox needs packages that are not installed: {', '.join(missing)}",
            fix="run the command through make, or: pip install 'sagepack[sandbox]'",
        )


def _start(root: Path, idle: float) -> None:
    """Start the process and wait until it says over a pipe that it is ready, or is gone."""
    log = folder(root) / "log"
    reader, writer = os.pipe()
    command = [sys.executable, "-m", __package__, "--root", str(root.absolute()), "--idle", str(idle), "--detach"]
    try:
        with open(log, "wb", opener=_private) as output:
            # It forks and exits at once, so that the process that stays is nobody's child.
            subprocess.run(
                [*command, "--ready", str(writer)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
                pass_fds=[writer],
                start_new_session=True,
                check=False,
                timeout=_START_SECONDS,
            )
        os.close(writer)
        writer = -1
        waiting = select.poll()
        waiting.register(reader, select.POLLIN)
        said = os.read(reader, len(READY)) if waiting.poll(_START_SECONDS * 1000) else None
    except subprocess.TimeoutExpired:
        said = None
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if said != READY:
        raise _died(log, f"did not get ready in {_START_SECONDS:.0f} s" if said is None else "died at its start")


def _environment() -> dict[str, str]:
    """The environment of the process: this code and what it imports, and neither credentials nor settings of anything."""
    kept = environment.allowed(os.environ)
    # Where Python finds what it imports: packages installed with --user lie below HOME.
    for name in ("HOME", "PYTHONHOME", "PYTHONUSERBASE", "SAGEPACK_SERVE_PYTHON"):
        if name in os.environ:
            kept[name] = os.environ[name]
    here = str(Path(__file__).parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH", "")]))
    # moto imports botocore, which would read ~/.aws and ask for the credentials of a machine in EC2.
    return {
        **kept,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _died(log: Path, how: str) -> UserError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    fix = "mend what the log says and run the command again"
    return UserError(f"the sandbox {how}", where=str(log), fix=fix, details=lines)
