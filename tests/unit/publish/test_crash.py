"""Whatever is published, and wherever it is killed: the bucket is right at every instant, and the next run ends it."""

from __future__ import annotations

import tempfile
import zlib
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagepack.aws.s3 import S3, S3Uri
from sagepack.digest import Digest
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.archive.layout import Layout
from sagepack.package.manifest import Manifest, Member
from sagepack.progress import Silent
from sagepack.publish.cleanup import stale_uploads
from sagepack.publish.delta.parts import Limits
from sagepack.publish.documents import Files, Index, Pointer
from sagepack.publish.keys import Package, PackageFormat, package_folder
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import Published, publish
from tests.helpers.fake_s3 import FakeS3, Killed
from tests.helpers.publishing import NOW, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS = Limits(minimum=2000, maximum=40_000, count=100, sent_size=6000, most_sent=20_000, copy_size=9000)
TARGET = S3Uri("bucket", "models")


class Memory:
    """Contents in memory, as a source."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._contents = {Digest.sha256(data): data for data in files.values()}
        self.opened = 0

    def holds(self, content: Digest) -> bool:
        return content in self._contents

    def open(self, content: Digest, offset: int, length: int) -> Iterator[bytes]:
        self.opened += 1
        data = self._contents[content][offset : offset + length]
        return (data[start : start + 700] for start in range(0, len(data), 700))


def manifest_of(files: dict[str, bytes]) -> Manifest:
    return Manifest.of(Member(path, len(data), Digest.sha256(data)) for path, data in files.items())


def archive_of(files: dict[str, bytes]) -> bytes:
    members = manifest_of(files).members
    layout = Layout.of(members)
    crc = tar_crc(layout, [zlib.crc32(files[member.path]) for member in members])

    def open_(index: int, offset: int, length: int) -> list[bytes]:
        return [files[members[index].path][offset : offset + length]]

    return b"".join(bytes(piece) for piece in layout.read(0, layout.size, open_, crc))


def run(
    store: FakeS3,
    files: dict[str, bytes],
    journals: Path,
    *,
    layout: str = "archive",
    workers: int = 1,
) -> Published:
    manifest = manifest_of(files)
    s3 = cast("S3", store)
    seen = observe(s3, Package(TARGET, "svd", manifest.digest, PackageFormat(layout)), manifest, limits=LIMITS)
    return publish(
        s3,
        plan_upload(seen, manifest, LIMITS),
        [Memory(files)],
        journals,
        provenance=b"{}",
        progress=Silent(),
        workers=workers,
        now=NOW,
    )


def check_bucket(store: FakeS3, packages: list[dict[str, bytes]]) -> None:
    """Whatever can be found leads to bytes that are there, and every archive is the one that its key names."""
    archives = {manifest_of(files).digest.short: archive_of(files) for files in packages}
    for location, data in store.objects.items():
        folder, _, name = location.key.rpartition("/")
        if name == "model.tar.gz":
            assert data == archives[folder.rpartition("/")[2]]
        elif name == "index.json":
            index = Index.parse(data)
            assert index is not None
            assert store.etag(S3Uri("bucket", f"{folder}/model.tar.gz")) == index.etag
        elif name == "files.json":
            listed = Files.parse(data)
            assert listed is not None
            for file in listed.files:
                held = store.objects[S3Uri("bucket", f"{folder}/model/{file.member.path}")]
                assert Digest.sha256(held) == file.member.digest
        elif "/contents/" in location.key:
            pointer = Pointer.parse(data)
            assert pointer is not None
            package = package_folder(TARGET, pointer.package)
            assert package is not None
            document = "files.json" if name.endswith(".file.json") else "index.json"
            assert package.child(document) in store.objects
        elif "/releases/" in location.key:
            package = TARGET.child(f"svd/{name.partition('-')[2][:16]}")
            assert package.child("manifest.json") in store.objects
            assert package.child("provenance.json") in store.objects


paths = st.sampled_from(["a.json", "b/one.bin", "b/two.bin", "c.bin", "d.txt", "code/inference.py", "code/z.bin"])
contents = st.builds(noise, st.sampled_from([0, 1, 511, 512, 1990, 2100, 7000, 13_000]), st.integers(0, 2))
trees = st.dictionaries(paths, contents, min_size=1)
SETTINGS = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@given(st.lists(trees, min_size=1, max_size=3), st.sampled_from(["archive", "prefix"]), st.booleans())
@SETTINGS
def test_any_sequence_of_packages_is_published_unchanged(
    packages: list[dict[str, bytes]], layout: str, crc32: bool
) -> None:
    store = FakeS3(LIMITS.minimum)
    store.refuse_crc64 = crc32
    with tempfile.TemporaryDirectory() as folder:
        for files in packages:
            run(store, files, Path(folder), layout=layout, workers=3)
            check_bucket(store, packages)
            before = dict(store.objects), store.sent
            again = run(store, files, Path(folder), layout=layout)
            assert (dict(store.objects), store.sent) == before
            assert again.sent_bytes == 0
    assert store.pending == {}


@given(trees, trees, st.integers(1, 40), st.booleans(), st.sampled_from(["archive", "prefix"]))
@SETTINGS
def test_a_kill_at_any_request_leaves_a_consistent_bucket_and_the_next_run_sends_only_what_is_missing(
    old: dict[str, bytes], new: dict[str, bytes], dies_at: int, takes_effect: bool, layout: str
) -> None:
    store = FakeS3(LIMITS.minimum)
    with tempfile.TemporaryDirectory() as folder:
        run(store, old, Path(folder) / "a", layout=layout)
        sent = store.sent
        store.live(dies_at, takes_effect=takes_effect)
        try:
            run(store, new, Path(folder) / "b", layout=layout)
        except Killed:
            check_bucket(store, [old, new])
        first, killed = store.sent - sent, store.dead
        unheard_of = killed and takes_effect and store.requests[dies_at - 1] == "begin"
        store.live()
        second = run(store, new, Path(folder) / "b", layout=layout)
        check_bucket(store, [old, new])
        whole = FakeS3(LIMITS.minimum)
        run(whole, old, Path(folder) / "c", layout=layout)
        before = whole.sent
        run(whole, new, Path(folder) / "d", layout=layout)
        # One worker: at most the part that the kill hit is sent twice, if S3 took it and the journal did not hear of it.
        twice = LIMITS.sent_size if killed and takes_effect else 0
        assert first + second.sent_bytes <= whole.sent - before + twice
        assert whole.objects.keys() == store.objects.keys()
    # An upload whose number nobody heard is left for `gc`.
    left = stale_uploads(cast("S3", store), TARGET, "svd", timedelta(days=1), NOW)
    assert len(left) == len(store.pending) == unheard_of


def test_a_store_that_completes_with_another_etag_than_it_keeps_gets_an_index_that_fits(tmp_path: Path) -> None:
    class Quoting(FakeS3):
        def complete(self, *args: Any) -> str | None:
            etag: str | None = super().complete(*args)
            return etag and etag.strip('"')

    store = Quoting(LIMITS.minimum)
    files = {"a.bin": noise(7000, 1)}
    run(store, files, tmp_path)
    check_bucket(store, [files])
    before = dict(store.objects), store.sent
    run(store, files, tmp_path)
    assert (dict(store.objects), store.sent) == before
