"""download: the locked files come into the Hugging Face cache, every byte checked; only what the goal needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.engine.plan import StepStatus
from sagepack.hub.cache_status import scan_cache
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.engine.context import BuildContext
    from sagepack.package.lock import LockedFile

VERSION = 1


def fact(build: BuildContext) -> StepStatus:
    """Every file that the goal needs lies in the cache and has not changed since it was hashed."""
    if build.answered is None:
        return StepStatus(VERSION)
    wanted = build.wanted
    found = scan_cache(build.cache, build.answered.commit, wanted, build.trust)
    inputs = {file.path: str(file.digest) for file in wanted}
    trouble = (
        *_told(found.missing, "not in the cache", "to fetch"),
        *_told(found.present, "in the cache with unknown content", "to hash"),
    )
    return StepStatus(
        VERSION, inputs, trouble=trouble, observed=True, fetch=found.bytes_missing, done=_done(build, len(wanted))
    )


def run(build: BuildContext) -> None:
    """Fetch what is missing, hash what is not known.

    Raises:
        UserError: gate, token, or too little free disk.
        RemoteError: the Hub failed after retries.
        IntegrityError: twice in a row bytes that are not what the lock says.
    """
    from sagepack.hub.download import download

    lock = build.require_lock()
    download(
        build.services.hub,
        lock.model,
        lock.commit,
        build.wanted,
        connections=build.connections,
        trust=build.trust,
        progress=build.progress,
    )


def _told(files: Sequence[LockedFile], how: str, todo: str) -> tuple[str, ...]:
    if not files:
        return ()
    first = files[0].path if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"
    return (f"{first} {how} ({format_bytes(sum(file.size for file in files))} {todo})",)


def _done(build: BuildContext, wanted: int) -> str:
    if wanted:
        return f"{wanted} files in the cache are as locked"
    if build.services.upload_plan.missing and build.services.streamed:
        return f"streamed from the Hub to S3 ({build.services.streamed})"
    return "S3 holds all that is needed"
