"""A package of many contents is looked for in few requests, however many of them are in S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.digest import Digest
from sagepack.package.manifest import Manifest, Member
from sagepack.progress import Silent
from sagepack.publish import pointers
from sagepack.publish.delta.parts import Limits
from sagepack.publish.keys import Package, PackageFormat, pointer_uri
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import publish
from sagepack.publish.upload.sources import LocalFiles
from tests.helpers.fake_s3 import FakeS3

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.s3 import S3
    from sagepack.publish.observation import Observation

TARGET = S3Uri("bucket", "models")
LIMITS = Limits(minimum=1000, sent_size=4000, most_sent=64_000, copy_size=8000)
MANY = 500


def contents(folder: Path, count: int) -> tuple[Manifest, LocalFiles]:
    """A package of small files, each of which is large enough to be copied."""
    files = {}
    members = []
    for number in range(count):
        data = b"%6d" % number * 200
        path = folder / f"{number}.bin"
        path.write_bytes(data)
        members.append(Member(path.name, len(data), Digest.sha256(data)))
        files[members[-1].digest] = path
    return Manifest.of(members), LocalFiles(files)


def look(store: FakeS3, manifest: Manifest, name: str, format_: PackageFormat = PackageFormat.ARCHIVE) -> Observation:
    """Look at a bucket, from a machine that knows nothing; only what this requests is in the store's list afterwards."""
    store.requests.clear()
    return observe(cast("S3", store), Package(TARGET, name, manifest.digest, format_), manifest, limits=LIMITS)


@pytest.mark.parametrize("format_", PackageFormat)
def test_contents_that_are_nowhere_cost_no_request_each(format_: PackageFormat, tmp_path: Path) -> None:
    manifest, _ = contents(tmp_path, MANY)
    store = FakeS3(LIMITS.minimum)
    seen = look(store, manifest, "large", format_)
    assert len(plan_upload(seen, manifest, LIMITS).missing) == MANY
    assert len(store.requests) <= 20


@pytest.mark.parametrize("format_", PackageFormat)
def test_contents_of_one_package_of_another_name_are_found_by_the_pointers_of_a_few(
    format_: PackageFormat, tmp_path: Path
) -> None:
    manifest, files = contents(tmp_path, MANY)
    store = FakeS3(LIMITS.minimum)
    plan = plan_upload(look(store, manifest, "first", format_), manifest, LIMITS)
    publish(cast("S3", store), plan, [files], tmp_path / "journal", provenance=b"{}", progress=Silent())
    seen = look(store, manifest, "second", format_)
    assert len(store.requests) <= 50
    assert plan_upload(seen, manifest, LIMITS).missing == ()


def test_only_pointers_that_are_there_are_read(tmp_path: Path) -> None:
    manifest, _ = contents(tmp_path, MANY)
    store = FakeS3(LIMITS.minimum)
    for member in manifest.members[:7]:
        store.objects[pointer_uri(TARGET, member.digest)] = b"{}"
    look(store, manifest, "large")
    assert store.requests.count("read") == 7


def test_pointers_to_many_other_contents_hide_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, _ = contents(tmp_path, MANY)
    store = FakeS3(LIMITS.minimum)
    there = sorted(member.digest for member in manifest.members)[::2]
    for digest in there:
        store.objects[pointer_uri(TARGET, digest)] = b"{}"
    monkeypatch.setattr(pointers, "_LISTED_FOR_ONE", 0)
    all_of_them = {member.digest for member in manifest.members}
    found = pointers.that_may_be_there(cast("S3", store), TARGET, all_of_them, PackageFormat.ARCHIVE)
    assert set(there) <= set(found)
