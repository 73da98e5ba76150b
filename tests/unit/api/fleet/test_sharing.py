"""What a plan of all jobs moves: contents that several need once, everything else as each job plans it."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from sagepack.api.fleet.selection import Member
from sagepack.api.fleet.sharing import Shared
from sagepack.api.results import Job
from sagepack.digest import Digest
from sagepack.engine.plan import Content
from sagepack.package.lock import LockedFile

MiB = 1 << 20
FILES = tuple(
    LockedFile(name, size * MiB, Digest.sha256(name.encode()), Digest.sha256(name.encode()).value)
    for name, size in (("large", 8), ("small", 1))
)


def member(target: str, *reuse_from: str, cache: str = "/cache") -> Member:
    return Member(
        "config/a.yaml",
        target,
        "a",
        False,
        f"s3://{target}",
        tuple(f"s3://{each}" for each in reuse_from),
        cache,
        "m",
        FILES,
    )


def publishing(*, fetched: bool = True) -> tuple[Job, tuple[Content, ...]]:
    """The plan of a job that is alone: all of the model, and a byte of code."""
    contents = (
        *(Content(file.path, file.size, 0, file.size, file.size if fetched else 0, 0, None, None) for file in FILES),
        Content("code/inference.py", 1, 0, 1, 0, 0, None, None),
    )
    return Job("config/a.yaml", "dev", "a", "planned", fetch=9 * MiB if fetched else 0, send=9 * MiB + 1), contents


def amounts(shared: Shared, of: Member, *, fetched: bool = True) -> tuple[int, int, int]:
    job, contents = publishing(fetched=fetched)
    found = shared.after_those(job, of, contents)
    return found.fetch, found.send, found.copy


def test_a_large_content_is_sent_to_a_place_once_and_copied_by_all_who_can() -> None:
    shared = Shared(stream=False)
    assert amounts(shared, member("dev")) == (9 * MiB, 9 * MiB + 1, 0)
    assert amounts(shared, member("dev")) == (0, MiB + 1, 8 * MiB)
    assert amounts(shared, member("prod", "dev")) == (0, MiB + 1, 8 * MiB)
    assert amounts(shared, member("other")) == (0, 9 * MiB + 1, 0)


@pytest.mark.parametrize("by_cluster", [False, True])
def test_what_streams_from_the_hub_is_fetched_by_each_who_sends_it(by_cluster: bool) -> None:
    shared = Shared(stream=not by_cluster)
    dev, other = (replace(member(env), streams=by_cluster) for env in ("dev", "other"))
    assert amounts(shared, dev)[0] == 9 * MiB
    assert amounts(shared, other)[0] == 9 * MiB
    assert amounts(shared, dev)[0] == MiB


def test_a_model_is_downloaded_into_a_cache_once() -> None:
    shared, job = Shared(stream=False), Job("config/a.yaml", "dev", "a", "planned", fetch=9 * MiB)
    assert [shared.after_those(job, member(env), ()).fetch for env in ("dev", "prod")] == [9 * MiB, 0]
    assert shared.after_those(job, member("dev", cache="/other"), ()).fetch == 9 * MiB
