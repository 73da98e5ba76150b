"""Verification finds the first wrong byte and says what it belongs to."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.package.archive.reader import ArchiveError, compare, verify
from sagepack.package.archive.writer import write
from tests.helpers import archives

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.package.archive.source import Written

FILES = archives.small_package()
LAYOUT = archives.layout(FILES)
MANIFEST = archives.manifest(FILES)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    folder = tmp_path_factory.mktemp("built")
    archives.lay_out(folder / "in", FILES)
    archive = folder / "model.tar.gz"
    return archive, write(archives.sources(folder / "in", FILES), archive)


class Trickle(io.RawIOBase):
    """A stream that cannot seek and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int = -1, /) -> bytes:
        return self._data.read(min(size, 1717))


def test_what_was_written_verifies_from_a_file_and_from_a_stream(built: tuple[Path, Written]) -> None:
    archive, written = built
    for source in (archive, Trickle(archive.read_bytes())):
        found = verify(source, MANIFEST)
        assert (found.size, found.sha256, found.crc32) == (written.size, written.sha256, written.crc32)
        assert found.contents == written.contents


def places() -> list[tuple[str, int, int]]:
    """Member, offset of a byte to break, and the offset that should be told."""
    found = []
    for entry in LAYOUT.entries:
        found.append((entry.path, entry.offset + 120, entry.offset + 120))
        if entry.size:
            found.append((entry.path, entry.content_offset, entry.content_offset))
            found.append((entry.path, entry.padding_offset - 1, entry.content_offset))
        if entry.padding:
            found.append((entry.path, entry.end - 1, entry.end - 1))
    return found


def test_a_flipped_bit_anywhere_is_found_in_its_member(built: tuple[Path, Written]) -> None:
    data = bytearray(built[0].read_bytes())
    for member, broken, told in places():
        data[broken] ^= 0x10
        with pytest.raises(ArchiveError, match=r"at offset \d+") as caught:
            verify(io.BytesIO(data), MANIFEST)
        assert (caught.value.member, caught.value.offset, caught.value.exit_code) == (member, told, 4)
        data[broken] ^= 0x10


@pytest.mark.parametrize(
    "offset", [0, 3, 9, LAYOUT.end_offset, LAYOUT.trailer_offset, LAYOUT.size - 8, LAYOUT.size - 1]
)
def test_a_wrong_byte_outside_the_members_is_found(built: tuple[Path, Written], offset: int) -> None:
    data = bytearray(built[0].read_bytes())
    data[offset] ^= 1
    with pytest.raises(ArchiveError) as caught:
        verify(io.BytesIO(data), MANIFEST)
    assert (caught.value.member, caught.value.offset) == (None, offset)


def test_a_truncated_and_a_lengthened_archive_are_refused_where_they_end(built: tuple[Path, Written]) -> None:
    data = built[0].read_bytes()
    for end in (0, 5, LAYOUT.entries[2].content_offset + 70_000, len(data) - 1):
        with pytest.raises(ArchiveError, match="too early") as caught:
            verify(io.BytesIO(data[:end]), MANIFEST)
        assert caught.value.offset == end
    with pytest.raises(ArchiveError, match="after the end") as caught:
        verify(io.BytesIO(data + b"\0"), MANIFEST)
    assert caught.value.offset == len(data)


def test_the_same_files_in_another_framing_are_refused(tmp_path: Path) -> None:
    """What `tar czf` makes holds the same files and is not this format."""
    archives.lay_out(tmp_path / "in", FILES)
    archive = tmp_path / "model.tar.gz"
    write(archives.sources(tmp_path / "in", FILES), archive)
    repacked = gzip.compress(gzip.decompress(archive.read_bytes()), 0, mtime=0)
    with pytest.raises(ArchiveError):
        verify(io.BytesIO(repacked), MANIFEST)


def test_a_missing_archive_is_an_error_for_the_user(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot open"):
        verify(tmp_path / "none", MANIFEST)


def test_comparing_names_the_first_differing_byte(built: tuple[Path, Written], tmp_path: Path) -> None:
    archive, _ = built
    other = tmp_path / "other"
    data = bytearray(archive.read_bytes())
    other.write_bytes(data)
    assert compare(archive, other, LAYOUT) is None
    entry = LAYOUT.entries[4]
    for offset in (len(data) - 3, entry.content_offset + 5, entry.offset, 1):
        data[offset] ^= 0xFF
        other.write_bytes(data)
        difference = compare(archive, other, LAYOUT)
        assert difference is not None
        assert difference.offset == offset
        assert difference.place == LAYOUT.place(offset)
    other.write_bytes(archive.read_bytes()[:-1])
    difference = compare(archive, other, LAYOUT)
    assert difference is not None
    assert difference.offset == len(data) - 1
