"""Whoever makes the units, however often and in whatever order: the object is right byte for byte, and published once."""

from __future__ import annotations

import itertools
import json
import tempfile
import threading
import time
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import CredentialsError
from sagepack.decoding import seal
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.progress import Silent
from sagepack.publish.delta.parts import Limits
from sagepack.publish.keys import Package, PackageFormat
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import Published, publish
from sagepack.publish.resumed import resumed
from sagepack.publish.sealed import FramedSums
from sagepack.publish.upload import context as upload_context
from sagepack.publish.upload import leading
from sagepack.publish.upload.unit_text import Answer, Failure, UnitRecord
from sagepack.publish.verified import VerifiedObjects
from tests.helpers.fake_s3 import FakeS3, Killed
from tests.helpers.publishing import NOW, noise
from tests.helpers.unit_workers import Inline, maker, workers
from tests.unit.publish.test_crash import TARGET, Memory, archive_of, check_bucket, manifest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.s3 import S3
    from sagepack.digest import Digest
    from sagepack.publish.upload.context import UnitWorkers
    from sagepack.publish.upload_plan import UploadPlan

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


def model_uri(files: dict[str, bytes]) -> S3Uri:
    return Package(TARGET, "svd", manifest_of(files).digest).model_uri


def planned(
    store: FakeS3, files: dict[str, bytes], elsewhere: frozenset[Digest], layout: str = "archive"
) -> UploadPlan:
    manifest = manifest_of(files)
    package = Package(TARGET, "svd", manifest.digest, PackageFormat(layout))
    return plan_upload(observe(cast("S3", store), package, manifest, limits=LIMITS), manifest, LIMITS, elsewhere)


def run(
    store: FakeS3,
    files: dict[str, bytes],
    journals: Path,
    units: UnitWorkers | None = None,
    verified: VerifiedObjects | None = None,
    layout: str = "archive",
) -> Published:
    return publish(
        cast("S3", store),
        planned(store, files, units.readable if units else frozenset(), layout),
        [Memory(files)],
        journals,
        provenance=b"{}",
        progress=Silent(),
        verified=verified,
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


class Unreliable(Executor):
    """Runs units late and in any order, some twice, and loses some answers and some work.

    Args:
        seed: decides what happens.
        spoil: may change an answer.
    """

    def __init__(self, seed: int, spoil: Callable[[str], str] = lambda answer: answer) -> None:
        self._random = Random(seed)
        self._spoil = spoil
        self._pool = ThreadPoolExecutor(4)
        self._waiting: list[Callable[[], object]] = []
        self._lock = threading.Lock()

    def submit(self, task: Callable[..., Any], /, *args: Any, **_options: Any) -> Future[Any]:
        future: Future[Any] = Future()
        fate = self._random.random()

        def work() -> None:
            if fate < 0.2:
                future.set_exception(CancelledError("the scheduler is gone"))
                return
            answer = self._spoil(task(*args))
            if fate < 0.4:
                task(*args)  # a worker that was thought dead
            if fate < 0.5:
                return  # the answer is lost; the record is in S3
            future.set_result(answer)

        with self._lock:
            self._waiting.append(work)
            if len(self._waiting) >= 3 or fate > 0.5:
                self._random.shuffle(self._waiting)
                for each in self._waiting:
                    self._pool.submit(each)
                self._waiting.clear()
        self._pool.submit(self._flush)
        return future

    def _flush(self) -> None:
        time.sleep(0.005)
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for each in waiting:
            each()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


@pytest.mark.parametrize("seed", range(12))
def test_units_that_run_twice_late_or_are_lost_make_the_same_object(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(leading, "LOOK", 0.02)
    store = FakeS3(LIMITS.minimum)
    units = workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), lambda: Unreliable(seed))
    for _ in range(10):  # a unit that is lost three times ends the command, and the same command continues
        with suppress(RemoteError):
            run(store, MODEL, tmp_path, units)
            break
    check_bucket(store, [MODEL])
    assert store.objects[model_uri(MODEL)] == archive_of(MODEL)
    assert store.requests.count("complete") == 1
    assert store.pending == {}


class Dead(BaseException):
    """The client is killed."""


def test_another_machine_continues_and_sends_only_what_s3_lacks(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    make, count = maker(store, [Memory(MODEL)]), itertools.count(1)

    def dying(text: str) -> str:
        if next(count) == 3:
            raise Dead
        return make(text)

    with pytest.raises(Dead):
        run(store, MODEL, tmp_path / "one", workers(dying, fetchable(MODEL), Inline))
    first = store.sent
    assert 0 < first < len(archive_of(MODEL))
    before = resumed(planned(store, MODEL, frozenset(fetchable(MODEL))), tmp_path / "two", cast("S3", store))
    assert before.total == first
    assert 0 < sum(before.by_path.values()) <= first
    second = run(store, MODEL, tmp_path / "two", workers(make, fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert first + second.sent_bytes == len(archive_of(MODEL))
    assert store.pending == {}


def test_a_unit_that_was_cut_off_is_hashed_again_and_only_its_missing_parts_are_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeS3(LIMITS.minimum)
    sends = itertools.count(1)

    original = store.send

    def send(*args: Any) -> Any:
        if next(sends) == 3:
            raise RemoteError("the connection is gone")
        return original(*args)

    monkeypatch.setattr(store, "send", send)
    with pytest.raises(RemoteError, match="could not be made"):
        run(store, MODEL, tmp_path / "one", workers(once(maker(store, [Memory(MODEL)])), fetchable(MODEL), Inline))
    first = store.sent
    run(store, MODEL, tmp_path / "two", workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert store.sent == len(archive_of(MODEL))
    assert first > 0


def once(make: Callable[[str], str]) -> Callable[[str], str]:
    """A worker that fails whatever it is given after its first failure."""
    failed: list[str] = []

    def limited(text: str) -> str:
        if failed:
            return failed[0]
        answer = make(text)
        if '"failure"' in answer:
            failed.append(answer)
        return answer

    return limited


def lying(change: Callable[[dict[str, Any]], None]) -> Callable[[str], str]:
    def spoil(text: str) -> str:
        answer = json.loads(text)
        change(answer["record"])
        return json.dumps(answer)

    return spoil


def other_sums(record: dict[str, Any]) -> None:
    record["sums"] = [each and ["0" * 16, *each[1:]] for each in record["sums"]]


def other_lengths(record: dict[str, Any]) -> None:
    record["sums"] = [each and [*each[:2], 7, *each[3:]] for each in record["sums"]]


def other_unit(record: dict[str, Any]) -> None:
    record["first"] = 99


def fewer_parts(record: dict[str, Any]) -> None:
    record["parts"] = []


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (other_sums, IntegrityError),
        (other_lengths, IntegrityError),
        (other_unit, RemoteError),
        (fewer_parts, RemoteError),
    ],
)
def test_an_answer_that_lies_never_makes_a_wrong_object(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], kind: type[Exception]
) -> None:
    store = FakeS3(LIMITS.minimum)
    make, spoil = maker(store, [Memory(MODEL)]), lying(change)
    with pytest.raises(kind):
        run(store, MODEL, tmp_path, workers(lambda text: spoil(make(text)), fetchable(MODEL), Inline))
    assert model_uri(MODEL) not in store.objects
    # An honest worker afterwards makes it right, whatever the other has left.
    run(store, MODEL, tmp_path, workers(make, fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"record": {"first": 1}}', '{"failure": {"type": 3}}'])
def test_an_answer_that_is_none_is_a_failure_that_says_so(tmp_path: Path, text: str) -> None:
    store = FakeS3(LIMITS.minimum)
    with pytest.raises(RemoteError, match="worker"):
        run(store, MODEL, tmp_path, workers(lambda _text: text, fetchable(MODEL), Inline))
    assert model_uri(MODEL) not in store.objects


def begun(store: FakeS3, tmp_path: Path) -> S3Uri:
    """An upload of which all units are made, and that was not completed; the folder of its notes."""
    original = store.complete
    store.complete = lambda *_args: (_ for _ in ()).throw(Dead())  # type: ignore[method-assign]
    with pytest.raises(Dead):
        run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    store.complete = original  # type: ignore[method-assign]
    return model_uri(MODEL).parent.child("upload")


@pytest.mark.parametrize(
    "document",
    [b"", b"{}", b"\xff", b'{"format": 1, "sha256": "00", "content": {}}', seal({"first": 1}, 1), b"9" * 5000],
)
def test_a_damaged_record_counts_as_missing(tmp_path: Path, document: bytes) -> None:
    store = FakeS3(LIMITS.minimum)
    folder = begun(store, tmp_path)
    sent = store.sent
    for location in [each for each in store.objects if each.key.startswith(folder.child("").key)]:
        if location.key.rpartition("/")[2].startswith("0"):
            store.objects[location] = document
    run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert store.sent == sent  # it was hashed again, and not sent again


def test_a_damaged_note_begins_a_new_upload(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    folder = begun(store, tmp_path)
    for location in [each for each in store.objects if each.parent == folder]:
        store.objects[location] = b"{}"
    run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])


def test_a_forged_record_costs_a_second_upload_and_never_a_wrong_object(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    folder = begun(store, tmp_path)
    for location, data in list(store.objects.items()):
        record = UnitRecord.parse(data) if location.key.startswith(folder.child("").key) else None
        if record:
            wrong = tuple(each and FramedSums("1" * 16, *list_of(each)[1:]) for each in record.sums)
            store.objects[location] = structs.replace(record, sums=wrong).document()
    run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert store.pending == {}


def list_of(sums: FramedSums) -> list[Any]:
    return [sums.crc64, sums.crc32, sums.length, sums.plain, sums.plain_length]


def test_records_of_others_are_no_evidence_of_this_machine(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    begun(store, tmp_path)
    known = VerifiedObjects(tmp_path / "verified")
    units = workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline)
    run(store, MODEL, tmp_path, units, known)
    assert known.of(model_uri(MODEL).parent) == {}
    fresh = FakeS3(LIMITS.minimum)
    run(fresh, MODEL, tmp_path, workers(maker(fresh, [Memory(MODEL)]), fetchable(MODEL), Inline), known)
    assert list(known.of(model_uri(MODEL).parent)) == [model_uri(MODEL).key]


def test_two_clients_of_one_package_make_one_object(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    units = workers(maker(store, [Memory(MODEL)]), fetchable(MODEL))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: run(store, MODEL, tmp_path / name, units), "ab"))
    check_bucket(store, [MODEL])
    assert store.pending == {}


def test_a_twin_that_completes_the_upload_meanwhile_is_no_error(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    make, count = maker(store, [Memory(MODEL)]), itertools.count(1)

    def overtaken(text: str) -> str:
        if next(count) == 3:
            run(store, MODEL, tmp_path / "twin", workers(make, fetchable(MODEL), Inline))
        return make(text)

    run(store, MODEL, tmp_path, workers(overtaken, fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert store.pending == {}


def test_an_archive_without_its_index_after_a_kill_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FakeS3(LIMITS.minimum)
    original = store.complete

    def complete(*args: Any) -> Any:
        original(*args)
        raise Dead

    monkeypatch.setattr(store, "complete", complete)
    with pytest.raises(Dead):
        run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    monkeypatch.undo()
    store.read_bytes = 0
    run(store, MODEL, tmp_path / "other", workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    check_bucket(store, [MODEL])
    assert store.read_bytes == 0
    assert not [location for location in store.objects if "/upload/" in location.key]


def test_a_flipped_bit_at_the_source_stops_all_and_leaves_no_upload(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    wrong = {**MODEL, "c.bin": MODEL["c.bin"][:-1] + b"?"}
    source = Memory(MODEL)
    source._contents[manifest_of(MODEL).members[2].digest] = wrong["c.bin"]
    with pytest.raises(IntegrityError, match="SHA-256") as caught:
        run(store, MODEL, tmp_path, workers(maker(store, [source]), fetchable(MODEL), Inline))
    assert any("in the worker" in line for line in caught.value.details)
    assert store.pending == {}
    assert model_uri(MODEL) not in store.objects


def test_a_mistake_that_the_user_can_mend_stops_all_and_keeps_the_upload(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    expired = Answer(failure=Failure.of(CredentialsError("expired", fix="log in"), "w")).text()
    make, count = maker(store, [Memory(MODEL)]), itertools.count(1)

    def make_until_expired(text: str) -> str:
        return expired if next(count) > 1 else make(text)

    with pytest.raises(CredentialsError, match="expired"):
        run(store, MODEL, tmp_path, workers(make_until_expired, fetchable(MODEL), Inline))
    assert len(store.pending) == 1
    first = store.sent
    second = run(store, MODEL, tmp_path, workers(make, fetchable(MODEL), Inline))
    assert first + second.sent_bytes == len(archive_of(MODEL))


def test_a_worker_of_another_version_makes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FakeS3(LIMITS.minimum)
    monkeypatch.setattr(upload_context, "__version__", "9.9.9")
    with pytest.raises(UserError, match=r"the worker has sagepack .*, the client 9\.9\.9"):
        run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), Inline))
    assert store.sent < LIMITS.minimum


def test_work_that_never_comes_back_ends_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Silence(Executor):
        def submit(self, *_args: Any, **_options: Any) -> Future[Any]:
            return Future()

    monkeypatch.setattr(leading, "LOOK", 0.02)
    monkeypatch.setattr(leading, "PATIENCE", 0.1)
    store = FakeS3(LIMITS.minimum)
    with pytest.raises(RemoteError, match="no part has come"):
        run(store, MODEL, tmp_path, workers(str, fetchable(MODEL), Silence))


class Breaking(Inline):
    """A pool that breaks with its second unit, as one of processes does when one of them is killed: all that it has is lost."""

    def __init__(self) -> None:
        self._count = itertools.count()

    def submit(self, task: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        if next(self._count) == 0:
            return super().submit(task, *args, **options)
        broken = Future[Any]()
        broken.set_exception(BrokenExecutor("a process in the process pool was terminated abruptly"))
        return broken


def test_a_pool_that_breaks_is_followed_by_another_which_makes_the_units_that_are_left(tmp_path: Path) -> None:
    store, pools = FakeS3(LIMITS.minimum), list[Breaking]()

    def pool() -> Breaking:
        pools.append(Breaking())
        return pools[-1]

    published = run(store, MODEL, tmp_path, workers(maker(store, [Memory(MODEL)]), fetchable(MODEL), pool))
    check_bucket(store, [MODEL])
    assert published.sent_bytes == store.sent == len(archive_of(MODEL))
    assert len(pools) > leading._ATTEMPTS  # those that make something do not count


def test_pools_that_break_without_having_made_a_unit_end_the_command_and_the_same_command_continues(
    tmp_path: Path,
) -> None:
    opened = itertools.count(1)

    class Broken(Inline):
        def __init__(self) -> None:
            next(opened)

        def submit(self, *_args: Any, **_options: Any) -> Future[Any]:
            raise BrokenExecutor("a child process terminated abruptly")

    store = FakeS3(LIMITS.minimum)
    with pytest.raises(RemoteError, match="a worker process was killed"):
        run(store, MODEL, tmp_path, workers(str, fetchable(MODEL), Broken))
    assert next(opened) == leading._ATTEMPTS + 1
    assert len(store.pending) == 1


paths = st.sampled_from(["a.json", "b/one.bin", "b/two.bin", "c.bin", "d.txt", "code/inference.py", "code/z.bin"])
contents = st.builds(noise, st.sampled_from([0, 1, 511, 1990, 2100, 7000, 13_000, 30_000]), st.integers(0, 2))
trees = st.dictionaries(paths, contents, min_size=1)


@pytest.mark.slow
@given(st.lists(trees, min_size=1, max_size=3), st.booleans(), st.sampled_from(["archive", "prefix"]))
@settings(max_examples=30)
def test_any_sequence_of_packages_is_published_unchanged_by_workers(
    packages: list[dict[str, bytes]], crc32: bool, layout: str
) -> None:
    store = FakeS3(LIMITS.minimum)
    store.refuse_crc64 = crc32
    with tempfile.TemporaryDirectory() as folder:
        for files in packages:
            run(store, files, Path(folder), workers(maker(store, [Memory(files)]), fetchable(files)), layout=layout)
            check_bucket(store, packages)
    assert store.pending == {}
    assert not [location for location in store.objects if "/upload/" in location.key]


def test_large_files_of_a_prefix_are_made_by_workers_and_completed_here(tmp_path: Path) -> None:
    store, source = FakeS3(LIMITS.minimum), Memory(MODEL)
    published = run(store, MODEL, tmp_path, workers(maker(store, [source]), fetchable(MODEL)), layout="prefix")
    check_bucket(store, [MODEL])
    assert source.opened >= 3
    assert published.sent_bytes == sum(map(len, MODEL.values())) == store.sent
    assert not [location for location in store.objects if "/upload/" in location.key]
    assert store.pending == {}


def test_the_files_of_a_prefix_continue_on_another_machine(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    make, count = maker(store, [Memory(MODEL)]), itertools.count(1)

    def dying(text: str) -> str:
        if next(count) == 2:
            make(text)
            raise Dead
        return make(text)

    with pytest.raises(Dead):
        run(store, MODEL, tmp_path / "one", workers(dying, fetchable(MODEL), Inline), layout="prefix")
    first, store.read_bytes = store.sent, 0
    second = run(store, MODEL, tmp_path / "two", workers(make, fetchable(MODEL), Inline), layout="prefix")
    check_bucket(store, [MODEL])
    assert first + second.sent_bytes == sum(map(len, MODEL.values()))
    assert (
        store.read_bytes <= LIMITS.sent_size
    )  # small files that were there; of large ones the notes tell the checksums
    assert store.pending == {}


def test_two_clients_of_one_prefix_make_it_once(tmp_path: Path) -> None:
    store = FakeS3(LIMITS.minimum)
    units = workers(maker(store, [Memory(MODEL)]), fetchable(MODEL))
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda name: run(store, MODEL, tmp_path / name, units, layout="prefix"), "ab"))
    check_bucket(store, [MODEL])


@pytest.mark.parametrize("change", [other_sums, other_lengths])
def test_a_lie_about_a_file_of_a_prefix_never_makes_a_wrong_object(
    tmp_path: Path, change: Callable[[dict[str, Any]], None]
) -> None:
    store = FakeS3(LIMITS.minimum)
    make, spoil = maker(store, [Memory(MODEL)]), lying(change)
    with pytest.raises(IntegrityError):
        run(store, MODEL, tmp_path, workers(lambda text: spoil(make(text)), fetchable(MODEL), Inline), layout="prefix")
    assert store.pending == {}
    run(store, MODEL, tmp_path, workers(make, fetchable(MODEL), Inline), layout="prefix")
    check_bucket(store, [MODEL])


def test_a_flipped_bit_in_a_file_of_a_prefix_leaves_no_upload(tmp_path: Path) -> None:
    store, source = FakeS3(LIMITS.minimum), Memory(MODEL)
    source._contents[manifest_of(MODEL).members[2].digest] = MODEL["c.bin"][:-1] + b"?"
    with pytest.raises(IntegrityError, match="SHA-256"):
        run(store, MODEL, tmp_path, workers(maker(store, [source]), fetchable(MODEL), Inline), layout="prefix")
    assert store.pending == {}


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["archive", "prefix"])
@pytest.mark.parametrize("takes_effect", [True, False])
def test_a_kill_at_any_request_is_continued_by_another_machine_that_sends_only_what_is_missing(
    tmp_path: Path, layout: str, takes_effect: bool
) -> None:
    files = {"a.bin": MODEL["c.bin"], "b.bin": MODEL["a.bin"][:14_000], "code/inference.py": b"pass\n"}
    whole = len(archive_of(files)) if layout == "archive" else sum(map(len, files.values()))
    for dies_at in itertools.count(1):
        store, folder = FakeS3(LIMITS.minimum), tmp_path / str(dies_at)
        units = workers(maker(store, [Memory(files)]), fetchable(files), Inline)
        store.live(dies_at, takes_effect=takes_effect)
        with suppress(Killed):
            run(store, files, folder / "a", units, layout=layout)
        check_bucket(store, [files])
        if not store.dead:
            break
        last = store.requests[-1]
        released = any("/releases/" in location.key for location in store.objects)
        store.live()
        run(store, files, folder / "b", units, layout=layout)
        check_bucket(store, [files])
        # What was in its place is not sent again, and an upload that no note names is left for `gc`.
        assert store.sent <= whole + (LIMITS.sent_size if takes_effect and layout == "prefix" else 0), dies_at
        assert len(store.pending) <= (last in {"begin", "put"}), (dies_at, last)
        assert released or not [location for location in store.objects if "/upload/" in location.key]
    assert dies_at > 20


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_parts_that_were_found_in_s3_are_no_evidence_that_all_bytes_were_hashed(
    tmp_path: Path, layout: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"a.bin": MODEL["a.bin"], "code/inference.py": b"pass\n"}
    store, known = FakeS3(LIMITS.minimum), VerifiedObjects(tmp_path / "verified")
    units, sends, send = (
        workers(maker(store, [Memory(files)]), fetchable(files), Inline),
        itertools.count(1),
        store.send,
    )

    def dying(*args: Any) -> Any:
        if next(sends) == 3:
            raise Dead
        return send(*args)

    monkeypatch.setattr(store, "send", dying)
    with pytest.raises(Dead):
        run(store, files, tmp_path / "one", units, layout=layout)
    run(store, files, tmp_path / "two", units, known, layout)
    check_bucket(store, [files])
    assert not [key for key in known.of(model_uri(files).parent) if key.endswith(("a.bin", "model.tar.gz"))]
