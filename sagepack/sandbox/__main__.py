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
from typing import TYPE_CHECKING

from sagepack.sandbox import process

if TYPE_CHECKING:
    from sagepack.sandbox.servers import Service

_LOOK_SECONDS = 0.2
"""How often it looks whether it is still needed: `stop` removes the state file and waits."""


def main() -> int:
    """Serve until SIGTERM, SIGINT, the end of the idle time, or until the state file is gone or another's."""
    options = _options()
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
        _say(f"another sandbox of this project is running; `fuser {running.lock_file}` shows its process")
        return 1
    with running:
        return _serve(options.root, options.idle, options.ready)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sagepack.sandbox", description=main.__doc__)
    parser.add_argument("--root", type=Path, required=True, help="the project it belongs to")
    parser.add_argument(
        "--idle", type=float, default=process.IDLE_SECONDS, help="seconds without a request to end after"
    )
    parser.add_argument("--detach", action="store_true", help="go on in the background")
    parser.add_argument("--ready", type=int, help="file descriptor that is told when the servers listen")
    return parser.parse_args()


def _serve(root: Path, idle: float, ready: int | None) -> int:
    from sagepack.sandbox.servers import Service

    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    service = Service(process.folder(root) / "models")
    service.start()
    process.write_state(root, service)
    _say(f"ready: Hub {service.hub_url}, AWS {service.aws_url}")
    if ready is not None:
        with os.fdopen(ready, "wb") as pipe:
            pipe.write(process.READY)
    threading.Thread(target=service.aws.warm, name="warm", daemon=True).start()
    why = _wait(root, service, idle, ended)
    _say(f"ends: {why}")
    if _is_ours(root, service):
        with suppress(OSError):
            (process.folder(root) / "state.json").unlink()
    service.stop()
    return 0


def _wait(root: Path, service: Service, idle: float, ended: threading.Event) -> str:
    """Wait for a reason to end, and return it."""
    while not ended.wait(min(_LOOK_SECONDS, idle)):
        if service.activity.idle_seconds() >= idle:
            return f"idle for {idle:.0f} s"
        if not _is_ours(root, service):
            return "its state file is gone or another's"
    return "asked to"


def _is_ours(root: Path, service: Service) -> bool:
    try:
        return service.credentials.control in (process.folder(root) / "state.json").read_text(encoding="utf-8")
    except OSError:
        return False


def _say(text: str) -> None:
    sys.stderr.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {os.getpid()} {text}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    # Whoever stops it waits: taking moto's tables apart would last longer than forgetting them.
    os._exit(main())
