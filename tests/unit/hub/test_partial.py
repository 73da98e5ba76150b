from __future__ import annotations

import random
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.hub import partial as module
from sagepack.hub.file_download import SequentialHasher
from sagepack.hub.partial import Partial
from sagepack.hub.ranges import Range

if TYPE_CHECKING:
    from pathlib import Path

CONTENT = random.Random(7).randbytes(1000)


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 64)
    monkeypatch.setattr("sagepack.hub.file_download.PIECE", 64)


def fill(partial: Partial, run: Range, upto: int | None = None, step: int = 10) -> None:
    with partial.writer(lambda: None) as write:
        end = run.end if upto is None else upto
        for start in range(run.start, end, step):
            write(start, CONTENT[start : min(start + step, end)])
    partial.give_back(run)


def resumed(file: Path, size: int = len(CONTENT)) -> tuple[Partial, int]:
    partial = Partial(file, size)
    return partial, partial.resume()


def test_runs_tile_the_file_and_are_handed_out_once(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    runs = []
    while run := partial.take(3):
        runs.append((run.start, run.end))
    assert runs == [(0, 192), (192, 384), (384, 576), (576, 768), (768, 960), (960, 1000)]
    assert partial.missing == 16


def test_what_was_given_back_is_handed_out_again(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    first = partial.take(2)
    assert first is not None
    fill(partial, first, upto=70)
    assert partial.take(None) == Range(64, 1000)
    assert partial.take(None) is None


def test_what_is_taken_gets_smaller_with_its_limit_and_comes_back_at_the_end(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    with partial.taken(lambda: partial.untaken // 4) as runs:
        assert [next(runs).length // 64 for _ in range(4)] == [4, 3, 2, 1]
        assert partial.untaken == 6
    assert partial.untaken == 16


def test_a_writer_that_has_nothing_to_write_needs_no_file(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    partial.file.unlink()  # as another thread does that has completed it
    with partial.writer(lambda: None):
        pass


def test_an_empty_file_has_nothing_to_take(tmp_path: Path) -> None:
    partial, count = resumed(tmp_path / "p", 0)
    assert (count, partial.take(None), partial.missing) == (0, None, 0)
    assert (tmp_path / "p").read_bytes() == b""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 320)), max_size=8), st.integers(1, 100))
def test_any_interruptions_keep_the_whole_pieces_and_only_those(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int]], chunk: int
) -> None:
    file = tmp_path_factory.mktemp("partial") / "p"
    expected: set[int] = set()
    for limit, count in steps:
        noted = Partial(file, len(CONTENT)).noted
        partial, found = resumed(file)
        assert noted == found
        assert found == sum(min(64, 1000 - piece * 64) for piece in expected)
        run = partial.take(limit)
        if run is None:
            break
        upto = min(run.start + count, run.end)
        fill(partial, run, upto, chunk)
        expected |= {
            piece for piece in range(run.start // 64, -(-run.end // 64)) if min((piece + 1) * 64, 1000) <= upto
        }
        assert expected == {piece for piece in range(16) if partial.has(piece)}
    partial, _ = resumed(file)
    while run := partial.take(4):
        fill(partial, run)
    assert file.read_bytes() == CONTENT


def test_pieces_that_changed_on_disk_and_lines_that_are_none_are_not_believed(tmp_path: Path) -> None:
    file = tmp_path / "p"
    partial, _ = resumed(file)
    while run := partial.take(4):
        fill(partial, run)
    with file.open("r+b") as stream:
        stream.seek(130)
        stream.write(b"??")
    with partial.journal.open("a") as journal:
        journal.write("99 00000000\nxy 00000000\n3 zzzzzzzz\n4 0000")
    again, found = resumed(file)
    assert [piece for piece in range(16) if not again.has(piece)] == [2]
    assert found == 1000 - 64
    partial.journal.write_bytes(b"\xff\xfe")
    assert resumed(file)[1] == 0


def test_a_file_that_is_gone_or_of_another_size_is_made_again(tmp_path: Path) -> None:
    file = tmp_path / "p"
    partial, _ = resumed(file)
    while run := partial.take(4):
        fill(partial, run)
    file.unlink()
    assert resumed(file)[1] == 0
    assert file.stat().st_size == 1000
    file.write_bytes(CONTENT * 2)
    assert resumed(file)[1] == 0
    assert file.stat().st_size == 1000


def test_what_is_forgotten_is_not_resumed(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    while run := partial.take(4):
        fill(partial, run)
    partial.forget()
    assert resumed(tmp_path / "p")[1] == 0


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(16)), st.integers(1, 3))
def test_the_digest_is_that_of_the_file_in_whatever_order_it_came(
    tmp_path_factory: pytest.TempPathFactory, order: list[int], threads: int
) -> None:
    partial, _ = resumed(tmp_path_factory.mktemp("front") / "p")
    found: list[tuple[Digest, int]] = []
    done = threading.Event()

    def tell(digest: Digest, crc: int) -> None:
        found.append((digest, crc))
        done.set()

    with ThreadPoolExecutor(threads) as hashers, ThreadPoolExecutor(threads) as writers:
        hasher = SequentialHasher(partial, hashers.submit, threading.Event(), tell)

        def write(piece: int) -> None:
            run = Range(piece * 64, min(1000, piece * 64 + 64))
            with partial.writer(hasher.advance) as put:
                put(run.start, CONTENT[run.start : run.end])

        list(writers.map(write, order))
        assert done.wait(10)
    assert found == [(Digest.sha256(CONTENT), zlib.crc32(CONTENT))]


def test_a_thread_that_was_overtaken_does_not_report_the_digest_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It saw that the next piece is missing; before it goes on, others fetch the rest and another thread hashes it."""
    partial, _ = resumed(tmp_path / "p")
    told: list[Digest] = []
    done, overtaken = threading.Event(), threading.Event()
    real = SequentialHasher._keep_running

    def slow(hasher: SequentialHasher) -> bool:
        more = real(hasher)
        if not more:
            overtaken.set()
            assert done.wait(30)
        return more

    def tell(digest: Digest, _crc: int) -> None:
        told.append(digest)
        done.set()

    monkeypatch.setattr(SequentialHasher, "_keep_running", slow)
    with ThreadPoolExecutor(20) as hashers:  # more than one may be overtaken, and each of those waits
        hasher = SequentialHasher(partial, hashers.submit, threading.Event(), tell)
        for start, end in ((0, 64), (64, 1000)):
            with partial.writer(hasher.advance) as put:
                put(start, CONTENT[start:end])
            assert overtaken.wait(30)
    assert told == [Digest.sha256(CONTENT)]


def test_a_full_disk_is_reported_with_the_file_that_did_not_fit(tmp_path: Path) -> None:
    partial, _ = resumed(tmp_path / "p")
    partial.file.unlink()
    partial.file.symlink_to("/dev/full")
    with pytest.raises(UserError, match="No space left on device") as caught, partial.writer(print) as put:
        put(0, CONTENT[:64])
    assert caught.value.where == str(partial.file)
