"""Whoever makes the units, however often and in whatever order: the object is right byte for byte, and published once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sagepack.progress import Silent
from sagepack.publish.delta.parts import Limits
from sagepack.publish.keys import Package
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import Published, publish
from tests.helpers.fake_s3 import FakeS3
from tests.helpers.publishing import NOW, noise
from tests.helpers.unit_workers import maker, workers
from tests.unit.publish.test_crash import TARGET, Memory, archive_of, check_bucket, manifest_of

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3
    from sagepack.publish.upload.context import UnitWorkers

LIMITS = Limits(
    minimum=2000, maximum=40_000, count=100, sent_size=6000, most_sent=20_000, copy_size=9000, unit_size=10_000
)
MODEL = {
    "a.bin": noise(25_000, 1),
    "b.json": noise(100, 2),
    "c.bin": noise(13_000, 3),
    "d.bin": noise(4000, 4),
    "e.bin": noise(30_000, 5),
    "code/inference.py": b"pass\n",
}


def run(store: FakeS3, files: dict[str, bytes], journals: Path, units: UnitWorkers | None = None) -> Published:
    s3, manifest = cast("S3", store), manifest_of(files)
    seen = observe(s3, Package(TARGET, "svd", manifest.digest), manifest, limits=LIMITS)
    elsewhere = units.readable if units else frozenset()
    plan = plan_upload(seen, manifest, LIMITS, elsewhere)
    return publish(
        s3,
        plan,
        [Memory(files)],
        journals,
        provenance={},
        progress=Silent(),
        units=units,
        now=NOW,
    )


def fetchable(files: dict[str, bytes]) -> dict[Any, str]:
    return {member.digest: member.path for member in manifest_of(files).members if not member.path.startswith("code/")}


def test_an_archive_that_workers_make_is_the_one_that_one_process_makes(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    units = workers(maker(store, [Memory(MODEL)]), fetchable(MODEL))
    published = run(store, MODEL, tmp_path, units)
    check_bucket(store, [MODEL])
    assert published.sent_bytes == published.size == len(archive_of(MODEL)) == store.sent
    assert not [location for location in store.objects if "/upload/" in location.key]
    assert store.pending == {}
