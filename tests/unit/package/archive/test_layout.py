"""Format 1 as arithmetic: what the layout says is what ordinary readers and the bytes themselves say."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.archive import framing
from sagepack.package.archive.chunks import chunks
from sagepack.package.archive.crc32 import crc32, tar_crc
from sagepack.package.archive.layout import Layout, Literal, Slice
from sagepack.package.archive.tar_header import tar_header
from sagepack.package.manifest import Member, archive_order, check_paths
from tests.helpers import archives

NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="/\\"), min_size=1
).filter(lambda name: name not in {".", ".."})
PATHS = st.lists(NAMES, min_size=1, max_size=6).map("/".join)
SIZES = st.one_of(st.integers(0, 2000), st.sampled_from([65534, 65535, 65536, 131070, 131071]))


def _is_package(sizes: dict[str, int]) -> bool:
    try:
        check_paths(list(sizes))
    except UserError:
        return False
    return True


PACKAGES = st.dictionaries(PATHS, SIZES, max_size=6).filter(_is_package)
law = settings(deadline=None, max_examples=60)


def render(files: archives.Files) -> bytes:
    """An archive made from the layout alone."""
    layout = archives.layout(files)
    members = [files[entry.path] for entry in layout.entries]
    crc = tar_crc(layout, [crc32(content) for content in members])
    return b"".join(layout.read(0, layout.size, lambda i, start, length: [members[i][start : start + length]], crc))


def contents(sizes: dict[str, int]) -> archives.Files:
    return {path: bytes((len(path) + i) % 251 for i in range(size)) for path, size in sizes.items()}


@law
@given(PACKAGES)
def test_ordinary_readers_find_what_was_put_in_and_sizes_are_known_before(sizes: dict[str, int]) -> None:
    files = contents(sizes)
    archive = render(files)
    layout = archives.layout(files)
    assert len(archive) == layout.size
    assert len(gzip.decompress(archive)) == layout.tar_size
    assert archives.by_tarfile(archive) == archives.expected(files)


@law
@given(PACKAGES, st.data())
def test_any_range_is_the_same_bytes(sizes: dict[str, int], data: st.DataObject) -> None:
    files = contents(sizes)
    archive = render(files)
    layout = archives.layout(files)
    members = [files[entry.path] for entry in layout.entries]
    crc = tar_crc(layout, [crc32(content) for content in members])
    start = data.draw(st.integers(0, len(archive)))
    end = data.draw(st.integers(start, len(archive)))
    step = data.draw(st.sampled_from([1000, 65535, 70000]))

    def in_pieces(index: int, first: int, length: int) -> list[bytes]:
        wanted = members[index][first : first + length]
        return [wanted[i : i + step] for i in range(0, length, step)]

    assert b"".join(layout.read(start, end, in_pieces, crc)) == archive[start:end]
    pieces = list(layout.pieces(start, end, crc))
    assert [p.end for p in pieces[:-1]] == [p.offset for p in pieces[1:]]
    for piece in pieces:
        if isinstance(piece, Literal):
            assert archive[piece.offset : piece.end] == piece.data


@law
@given(PACKAGES)
def test_entries_tile_the_archive_and_framed_contents_depend_on_content_alone(sizes: dict[str, int]) -> None:
    files = contents(sizes)
    archive = render(files)
    offset = len(framing.GZIP_HEADER)
    for entry in archives.layout(files).entries:
        assert entry.offset == offset
        assert archive[entry.offset : entry.content_offset] == entry.header
        assert archive[entry.content_offset : entry.padding_offset] == framing.frame(files[entry.path])
        assert archive[entry.padding_offset : entry.end] == entry.padding
        offset = entry.end


@law
@given(st.integers(0, 1 << 34), st.integers(0, 1 << 20))
def test_lengths_convert_both_ways(length: int, more: int) -> None:
    framed = framing.framed_length(length)
    assert framing.content_before(framed) == length
    assert framing.content_before(framed + more) >= length


@pytest.mark.parametrize("length", [0, 1, 65534, 65535, 65536, 131070, 131071])
def test_frames_are_stored_blocks_of_at_most_65535_bytes(length: int) -> None:
    run = bytes(i % 256 for i in range(length))
    framed = framing.frame(run)
    assert len(framed) == framing.framed_length(length) == length + 5 * -(-length // 65535)
    assert zlib.decompress(framed + framing.FINAL_BLOCK, wbits=-15) == run


def test_a_range_of_content_that_is_too_short_or_too_long_is_refused() -> None:
    for given_bytes in (b"x" * 9, b"x" * 11):
        with pytest.raises(ValueError, match="content"):
            list(framing.frame_range([given_bytes], 10, 0, framing.framed_length(10)))


HEADERS = [
    ("model_index.json", 0, False),
    ("n" * 100, 1, True),
    ("n" * 101, 1, False),
    ("p" * 155 + "/" + "n" * 100, 1, False),
    ("p" * 156 + "/" + "n" * 99, 1, False),
    ("a/" * 127 + "b", 1, False),
    ("a/" * 200 + "b", 1, False),
    ("x" * 99 + "/" + "y" * 300, 1, False),
    ("x" * 99 + "/" + "é" * 300, 1, False),
    ("é", 1, False),
    ("big", 8**11 - 1, False),
    ("big", 8**11, False),
    ("big", 10**15, True),
]


@pytest.mark.parametrize(("path", "size", "executable"), HEADERS)
def test_python_reads_every_header_as_meant(path: str, size: int, executable: bool) -> None:
    header = tar_header(path, size, executable=executable)
    assert len(header) % 512 == 0
    with tarfile.open(fileobj=io.BytesIO(header + bytes(1024)), mode="r:", format=tarfile.PAX_FORMAT) as tar:
        member = tar.next()
    assert member is not None
    assert (member.name, member.size, member.mode) == (path, size, 0o755 if executable else 0o644)
    assert member.type == tarfile.REGTYPE


@pytest.mark.parametrize(
    ("path", "size", "blocks"),
    [
        ("n" * 100, 1, 1),
        ("p" * 155 + "/" + "n" * 100, 1, 1),
        ("n" * 101, 1, 3),
        ("é", 1, 3),
        ("a", 8**11 - 1, 1),
        ("a", 8**11, 3),
    ],
)
def test_pax_is_used_only_where_ustar_cannot_say_it(path: str, size: int, blocks: int) -> None:
    assert len(tar_header(path, size)) == 512 * blocks


def test_code_is_last_whatever_its_name_sorts_as() -> None:
    files = {"zebra": b"1", "code/a.py": b"2", "code-book": b"3", "a": b"4"}
    assert [entry.path for entry in archives.layout(files).entries] == ["a", "code-book", "zebra", "code/a.py"]


def test_members_out_of_order_are_refused() -> None:
    members = [Member(path, 0, Digest.sha256(b"")) for path in ("code/a", "b")]
    with pytest.raises(ValueError, match="order"):
        Layout.of(members)


def test_every_offset_has_a_name() -> None:
    files = archives.small_package()
    layout = archives.layout(files)
    entry = layout.entries[0]
    assert str(layout.place(entry.content_offset + 7)) == f"byte 7 of the framed content of {entry.path}"
    assert layout.place(entry.offset).part == "header"
    assert layout.place(0).part == "gzip header"
    assert layout.place(layout.end_offset).part == "end marker"
    assert layout.place(layout.size - 1).part == "trailer"
    assert layout.place(layout.size - 1).path is None


def test_ranges_outside_and_a_trailer_without_its_crc_are_refused() -> None:
    layout = archives.layout({"a": b"1"})
    with pytest.raises(ValueError, match="within"):
        list(layout.pieces(0, layout.size + 1, 0))
    with pytest.raises(ValueError, match="trailer"):
        list(layout.pieces(0, layout.size))


@law
@given(PACKAGES, st.integers(2, 6))
def test_chunks_tile_the_range_and_keep_blocks_whole(sizes: dict[str, int], blocks: int) -> None:
    layout = archives.layout(contents(sizes))
    limit = blocks * framing.STRIDE
    offset = 0
    for chunk in chunks(layout.pieces(0, layout.trailer_offset), limit):
        assert chunk.offset == offset
        assert chunk.length <= limit
        for piece in chunk.pieces:
            assert piece.offset == offset
            offset = piece.end
            if isinstance(piece, Slice):
                assert piece.start % framing.BLOCK == 0
                assert piece.framed_length == framing.framed_length(piece.length)
        assert chunk.offset + chunk.length == offset
    assert offset == layout.trailer_offset


def test_order_is_by_bytes_and_not_by_locale() -> None:
    assert sorted(["b", "B", "a", "é", "z"], key=archive_order) == ["B", "a", "b", "z", "é"]
