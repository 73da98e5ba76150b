"""The background process itself: `python -m sagepack.sandbox --root PROJECT`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from sagepack.sandbox import process
from sagepack.sandbox.servers import Servers
from sagepack.serving import overlay

_POLL_SECONDS = 0.2
"""How often the process looks whether its state file is still there: a command that removes the file waits for its end."""


def main() -> int:
    """Serve until SIGTERM, SIGINT, the end of the idle time, or until the state file is removed or replaced."""
    parser = argparse.ArgumentParser(prog="python -m sagepack.sandbox", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the project it belongs to")
    parser.add_argument(
        "--idle", type=float, default=process.IDLE_SECONDS, help="end after this many seconds without a request"
    )
    parser.add_argument("--detach", action="store_true", help="continue in the background")
    parser.add_argument("--ready", type=int, help="file descriptor to write to when the servers listen")
    options = parser.parse_args()
    if options.detach and os.fork():
        return 0
    from filelock import FileLock, Timeout

    place = process.folder(options.root)
    place.mkdir(parents=True, exist_ok=True)
    os.chdir(place)
    os.umask(0o077)
    running = FileLock(place / "running.lock")
    try:
        running.acquire(timeout=process.STOP_SECONDS)
    except Timeout:
        _log(f"another sandbox of this project is running; `fuser {running.lock_file}` shows its process")
        return 1
    with running:
        return _serve(options.root, options.idle, options.ready)


def _serve(root: Path, idle: float, ready: int | None) -> int:
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    place = process.folder(root)
    servers = Servers(place / "models", place / process.OWN_MODELS, overlay.folder(root))
    servers.start()
    process.write_state(root, servers.hub_url, servers.aws_url, servers.credentials)
    _log(f"ready: Hub {servers.hub_url}, AWS {servers.aws_url}")
    if ready is not None:
        with os.fdopen(ready, "wb") as pipe:
            pipe.write(process.READY)
    threading.Thread(target=servers.aws.warm, name="warm", daemon=True).start()
    _log(f"ending: {_wait(root, servers, idle, stopping)}")
    if process.owns_state(root, servers.credentials):
        with suppress(OSError):
            process.remove_state(root)
    servers.stop()
    return 0


def _wait(root: Path, servers: Servers, idle: float, stopping: threading.Event) -> str:
    """Wait until there is a reason to end, and return it."""
    while not stopping.wait(min(_POLL_SECONDS, idle)):
        if servers.activity.idle_seconds() >= idle:
            return f"idle for {idle:.0f} s"
        if not process.owns_state(root, servers.credentials):
            return "the state file was removed or replaced"
    return "received a signal"


def _log(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {os.getpid()} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # A command may wait for the end: without `_exit`, Python would first take moto's tables apart, which takes seconds.
    os._exit(main())
