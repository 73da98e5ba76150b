"""download: the locked files come into the Hugging Face cache, every byte checked; only what the goal needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.fetch.download import download
from sagepack.plan import Fact
from sagepack.units import amount

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.build import Build
    from sagepack.lock import LockedFile

VERSION = 1


def fact(build: Build) -> Fact:
    """Every file that the goal needs lies in the cache and has not changed since it was hashed."""
    if build.answered is None:
        return Fact(VERSION)
    wanted = build.wanted
    missing = [file for file in wanted if not present(build, file)]
    inputs = {file.path: str(file.digest) for file in wanted}
    return Fact(
        VERSION,
        inputs,
        trouble=_named(missing),
        observed=True,
        fetch=sum(file.size for file in missing),
        done=_done(build, len(wanted)),
    )


def run(build: Build) -> None:
    """Fetch what is missing.

    Raises:
        UserError: gate, token, or too little free disk.
        RemoteError: the Hub failed after retries.
        IntegrityError: twice in a row bytes that are not what the lock says.
    """
    lock = build.require_lock()
    download(
        build.hub,
        lock.model,
        lock.commit,
        build.wanted,
        trust=build.trust,
        progress=build.progress,
    )


def _done(build: Build, wanted: int) -> str:
    if wanted:
        return f"{wanted} files in the cache are as locked"
    if build.upload_plan.needed and build.streamed:
        return f"streamed from the Hub to S3 ({build.streamed})"
    return "S3 holds all that is needed"


def present(build: Build, file: LockedFile) -> bool:
    """Whether the file is in the cache with the digest of the lock, as far as can be known without reading it."""
    path = build.cache.snapshot(build.require_lock().commit, file.path)
    return build.trust.get(path) == file.digest


def _named(missing: Sequence[LockedFile]) -> tuple[str, ...]:
    if not missing:
        return ()
    first = missing[0].path
    more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return (f"{first}{more} not in the cache, or changed there ({amount(sum(file.size for file in missing))})",)
