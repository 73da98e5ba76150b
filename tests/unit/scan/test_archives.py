"""The directory of an archive: of large ones, and of those that two readers would read in two ways."""

from __future__ import annotations

import struct

import pytest

from sagepack.scan.finding import Kind
from sagepack.scan.judge import MOST, scan
from tests.helpers import model_samples as samples

GOOD, EVIL = samples.torch_archive(samples.state_dict()), samples.torch_archive(samples.EVIL)
_UNSET = 0xFFFF_FFFF


def messages(data: bytes) -> list[str]:
    return [
        finding.message
        for finding in scan("model.pt", len(data), lambda offset, length: data[offset : offset + length])
    ]


def wide(archive: bytes, gap: int = 0) -> bytes:
    """The same archive with all sizes and offsets in 64 bits (APPNOTE.TXT, 4.3.14, 4.3.15, 4.5.3), as torch writes large ones.

    `gap` is added to the offset that the end record names.
    """
    count, _, offset = struct.unpack("<HII", archive[-22:][10:20])
    directory, position = b"", offset
    for _ in range(count):
        fields = list(struct.unpack_from("<4s6H3I5H2I", archive, position))
        name_length, extra_length, comment_length = fields[10:13]
        name = archive[position + 46 : position + 46 + name_length]
        extra = struct.pack("<HHQQQ", 1, 24, fields[9], fields[8], fields[16])
        fields[8] = fields[9] = fields[16] = _UNSET
        fields[11] = len(extra)
        directory += struct.pack("<4s6H3I5H2I", *fields) + name + extra
        position += 46 + name_length + extra_length + comment_length
    end = offset + len(directory)
    record = struct.pack("<4sQHHIIQQQQ", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, len(directory), offset + gap)
    locator = struct.pack("<4sIQI", b"PK\x06\x07", 0, end, 1)
    last = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, _UNSET, _UNSET, 0)
    return archive[:offset] + directory + record + locator + last


def test_an_archive_of_64_bits_is_read_as_any_other() -> None:
    assert messages(wide(GOOD)) == []
    assert messages(wide(EVIL)) == ["would call os.system when loaded (member archive/data.pkl)"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (wide(GOOD, gap=1), "has a directory that is not where it says"),
        (GOOD[:-22] + GOOD[-22:-2] + b"\x01\x00x", "directory is not at its end"),
        (GOOD + EVIL, "has a directory that is not where it says"),
        (b"PK\x03\x04" + bytes(100), "directory is not at its end"),
        (wide(GOOD)[:-22] + GOOD[-22:], "has two directories that do not agree"),
    ],
    ids=["offset", "comment", "two archives", "no directory", "two directories"],
)
def test_what_two_readers_may_read_in_two_ways_is_damage(data: bytes, said: str) -> None:
    [message] = messages(data)
    assert said in message


def test_members_in_each_other_are_damage() -> None:
    data = bytearray(GOOD)
    directory = data.index(b"PK\x01\x02")
    second = data.index(b"PK\x01\x02", directory + 4)
    struct.pack_into("<I", data, second + 42, 10)  # the offset of the second member
    (found,) = scan("model.pt", len(data), lambda offset, length: bytes(data[offset : offset + length]))
    assert found.kind is Kind.MALFORMED


def test_a_packing_that_is_not_known_is_not_passed() -> None:
    data = bytearray(GOOD)
    for place in (8, data.index(b"PK\x01\x02") + 10):
        struct.pack_into("<H", data, place, 14)  # LZMA
    assert "packed by method 14" in messages(bytes(data))[0]


def test_what_may_be_allowed_hides_nothing_behind_it() -> None:
    allowed = samples.calling("transformers.training_args", "TrainingArguments")
    many = samples.zipped({**{f"a/{number}.pkl": allowed for number in range(MOST)}, "a/z.pkl": samples.EVIL})
    found = scan("model.pt", len(many), lambda offset, length: many[offset : offset + length])
    assert len(found) == MOST + 1
    assert found[-1].kind is Kind.UNREADABLE


def test_more_members_than_a_model_has_are_not_judged() -> None:
    many = samples.zipped({f"a/{number}.pkl": b"N." for number in range(1_001)})
    assert "more than 1,000 members" in messages(many)[0]


@pytest.mark.parametrize(
    ("path", "members", "said"),
    [
        ("model.pt2", {"model/data/sample.pt": EVIL}, "holds another archive, which is not looked into"),
        ("package.whl", {"package/__init__.py": b""}, "holds Python files, which are not looked into"),
        ("model.pt", {"model/code/__torch__.py": b""}, "holds a program of TorchScript"),
    ],
)
def test_what_is_in_an_archive_is_called_what_it_is(path: str, members: dict[str, bytes], said: str) -> None:
    data = samples.zipped(members)
    [found] = scan(path, len(data), lambda offset, length: data[offset : offset + length])
    assert found.message.startswith(f"{said} (member ")
