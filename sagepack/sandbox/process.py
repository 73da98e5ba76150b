"""The sandbox's background process, seen from outside: start it if need be, find it, end it.

<root>/build/sandbox/
state.json       where the servers listen; written when they do, readable by its owner only
log              what the process had to say
starting.lock    held by the command that starts a process: two commands start one
running.lock     held by the process for its life
models/          the miniature models
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

ACCOUNT = "123456789012"
ACCESS_KEY, SECRET_KEY = "AKIASANDBOX000000000", "sandbox"
HF_TOKEN = "hf_sandbox"  # noqa: S105 - the three open nothing but the sandbox
READY = b"ready\n"
IDLE_SECONDS = 1800.0

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_LOG_LINES = 15


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        hub_url: the Hub; what `HF_ENDPOINT` would be.
        aws_url: one endpoint for all services of AWS.
        pid: the process.
        log: its log file.
        control: value of the `X-Sandbox-Token` header that opens the servers' routes under `/_sandbox/`.
        hf_token: a token with access to every gated repository of the Hub.
        access_key: an access key; any would do.
        secret_key: its secret; nothing checks signatures.
        account: account of the key.
    """

    hub_url: str
    aws_url: str
    pid: int
    log: Path
    control: str = field(repr=False)
    hf_token: str = HF_TOKEN
    access_key: str = ACCESS_KEY
    secret_key: str = field(default=SECRET_KEY, repr=False)
    account: str = ACCOUNT


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
    if found and _fingerprint_of(root) == fingerprint():
        return found
    _need_moto()
    from filelock import FileLock

    place = folder(root)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"the sandbox has no place for its files: {error.strerror}", where=str(place)) from error
    with FileLock(place / "starting.lock"):
        found = status(root)  # another command may have been first
        if found and _fingerprint_of(root) == fingerprint():
            return found
        stop(root)
        _start(root, idle)
        found = status(root)
    if found is None:
        raise _died(place / "log", "ended as soon as it was ready")
    return found


def status(root: Path) -> Sandbox | None:
    """The sandbox of the project at `root` if it is alive: the server answers to the token of the state file."""
    state = _state(root)
    try:
        found = Sandbox(
            hub_url=str(state["hub_url"]),
            aws_url=str(state["aws_url"]),
            pid=int(str(state["pid"])),
            log=folder(root) / "log",
            control=str(state["control"]),
        )
    except (KeyError, ValueError):
        return None
    return found if _answers(found) else None


def stop(root: Path) -> bool:
    """End the sandbox of the project at `root`; False if none was alive.

    Raises:
        UserError: it did not end.
    """
    found = status(root)
    if found is None:
        return False
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while _exists(found.pid):
        if time.monotonic() > deadline:
            raise UserError(f"the sandbox does not end: process {found.pid}", fix=f"kill -9 {found.pid}")
        time.sleep(0.02)
    return True


def write_state(root: Path, state: Mapping[str, object]) -> None:
    """Say where the servers listen, all at once and to nobody else."""
    path = folder(root) / "state.json"
    part = path.with_name(f".state.{os.getpid()}")
    part.touch(mode=0o600)
    part.write_text(json.dumps({**state, "fingerprint": fingerprint()}, indent=2) + "\n", encoding="utf-8")
    part.replace(path)


def fingerprint() -> str:
    """SHA-256 over the code of the sandbox: a process of other code would answer in other ways."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _state(root: Path) -> dict[str, object]:
    try:
        document = json.loads((folder(root) / "state.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def _fingerprint_of(root: Path) -> str | None:
    value = _state(root).get("fingerprint")
    return value if isinstance(value, str) else None


def _answers(sandbox: Sandbox) -> bool:
    """Whether the server answers to the token: a recycled process id or port does not.

    A request over a bare socket, because importing an HTTP client takes longer than the question.
    """
    request = f"GET /_sandbox/alive HTTP/1.1\r\nHost: sandbox\r\nX-Sandbox-Token: {sandbox.control}\r\n"
    try:
        address = urlsplit(sandbox.hub_url)
        with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
            connection.sendall(f"{request}Connection: close\r\n\r\n".encode())
            answer = connection.makefile("rb").read()
    except (OSError, ValueError):  # nobody there, or a damaged state file
        return False
    return answer.startswith(b"HTTP/1.1 200 ") and f'"pid": {sandbox.pid}'.encode() in answer


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


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
        with log.open("wb") as output:
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
            )
        os.close(writer)
        writer = -1
        readable, _, _ = select.select([reader], [], [], _START_SECONDS)
        said = os.read(reader, len(READY)) if readable else None
    finally:
        os.close(reader)
        if writer >= 0:
            os.close(writer)
    if said != READY:
        raise _died(log, f"did not get ready in {_START_SECONDS:.0f} s" if said is None else "died at its start")


def _environment() -> dict[str, str]:
    """The environment of the process: this code importable, and neither credentials nor settings of the servers."""
    strange = ("AWS_", "HF_", "HUGGING", "MOTO_", "TEST_SERVER_MODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(strange)}
    here = str(Path(__file__).parents[2])
    kept["PYTHONPATH"] = os.pathsep.join(filter(None, [here, kept.get("PYTHONPATH", "")]))
    return kept


def _died(log: Path, how: str) -> UserError:
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_LINES:]
    told = "".join(f"\n    {line}" for line in lines)
    return UserError(f"the sandbox {how}{told}", where=str(log), fix="mend what the log says and run the command again")


def document(sandbox: Sandbox) -> dict[str, object]:
    """The sandbox as JSON, without its secrets."""
    shown = asdict(sandbox) | {"log": str(sandbox.log)}
    return {name: value for name, value in shown.items() if name not in {"control", "secret_key"}}
