"""Every way to say something bad is refused, and what models hold passes, from a few reads in bounded memory."""

from __future__ import annotations

import io
import struct
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.scan.finding import Kind
from sagepack.scan.judge import needs_look, scan
from sagepack.scan.ranges import LIMIT
from tests.helpers import model_samples as samples

if TYPE_CHECKING:
    from sagepack.scan.finding import Finding
    from tests.helpers.model_samples import Sample


class Read:
    """Gives bytes of a file, and counts."""

    def __init__(self, data: bytes) -> None:
        self.data, self.requests, self.total = data, 0, 0

    def __call__(self, offset: int, length: int) -> bytes:
        assert length > 0
        self.requests += 1
        self.total += length
        return self.data[offset : offset + length]


def judged(path: str, data: bytes) -> tuple[Finding, ...]:
    return scan(path, len(data), Read(data))


def named(sample: Sample) -> str:
    return sample.name


@pytest.mark.parametrize("sample", samples.bad(), ids=named)
def test_what_could_do_harm_is_refused(sample: Sample) -> None:
    found = judged(sample.path, sample.data)
    assert found
    for finding in found:
        assert finding.path == sample.path
        assert finding.message.isprintable()
        assert finding.fix


@pytest.mark.parametrize("name", ["model.ptl", "model.ff", "model"])
def test_a_flatbuffer_of_torchscript_is_a_program(name: str) -> None:
    (found,) = judged(name, struct.pack("<I4s", 24, b"PTMF") + bytes(100))
    assert (found.kind, found.names) == (Kind.CALLS, ("torch.jit",))
    assert "holds a program of TorchScript" in found.message
    hidden = judged("model.bin", b"\x80\x02c\nPTMFos\nsystem\n(S'id'\ntR.")
    assert hidden
    assert all(each.names != ("torch.jit",) for each in hidden)


@pytest.mark.parametrize("sample", samples.headers(), ids=named)
def test_a_header_that_does_not_tile_its_file_is_damage(sample: Sample) -> None:
    (found,) = judged(sample.path, sample.data)
    assert found.is_damage


@pytest.mark.parametrize("sample", samples.refused_everywhere(), ids=named)
def test_classes_of_programs_are_named_so_that_they_can_be_allowed(sample: Sample) -> None:
    (found,) = judged(sample.path, sample.data)
    assert found.kind is Kind.CALLS
    assert all("." in name for name in found.names)


@pytest.mark.parametrize("sample", samples.good(), ids=named)
def test_what_models_hold_passes(sample: Sample) -> None:
    assert judged(sample.path, sample.data) == ()


def test_the_message_says_what_would_be_called_and_where() -> None:
    (found,) = judged("model.ckpt", samples.torch_archive(samples.EVIL))
    assert found.message == "would call os.system when loaded (member archive/data.pkl)"
    assert found.names == ("os.system",)


def test_the_message_of_a_header_names_byte_and_tensor() -> None:
    data = samples.safetensors({"a": samples.tensor(0, 4), "b": samples.tensor(2, 6)}, b"123456")
    (found,) = judged("a.safetensors", data)
    assert found.message == "has overlapping tensors: not what the publisher's tool writes (byte 130, tensor b)"


@pytest.mark.parametrize(
    "path",
    [
        "README.md",
        "tokenizer.json",
        "vocab.txt",
        "LICENSE",
        "a/b/picture.png",
        "code.py",
    ],
)
def test_texts_and_pictures_need_no_request(path: str) -> None:
    assert not needs_look(path)
    assert scan(path, 1 << 40, Read(b"")) == ()


def test_a_file_of_safetensors_costs_its_header_however_large_it_is() -> None:
    count, each = 2_000, 5 << 20
    entries = {f"layer{n}": samples.tensor(n * each, (n + 1) * each) for n in range(count)}
    data = samples.safetensors(entries)
    read = Read(data)
    assert scan("model.safetensors", len(data) + count * each, read) == ()
    assert (read.requests, read.total) == (2, len(data) + (64 << 10) - 8)


def test_an_archive_of_torch_costs_its_directory_and_its_pickle() -> None:
    data = samples.torch_archive(samples.state_dict(100), storage=bytes(8 << 20))
    read = Read(data)
    assert scan("model.pt", len(data), read) == ()
    assert read.requests <= 3
    assert read.total < 256 << 10


def test_long_values_of_a_pickle_are_not_read() -> None:
    blob = b"\x8e" + struct.pack("<Q", 32 << 20) + bytes(32 << 20)
    read = Read(b"\x80\x04" + blob + samples.EVIL[2:])
    (found,) = scan("model.pkl", len(read.data), read)
    assert found.names == ("os.system",)
    assert read.total < 256 << 10


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("marks.pkl", b"(" * (1 << 20)),
        ("memo.pkl", b"\x80\x04" + b"N\x94" * (1 << 19)),
        ("line.pkl", b"c" + b"a" * (1 << 20)),
        ("length.pkl", b"\x80\x04\x8e" + b"\xff" * 8),
        ("escapes.safetensors", samples.safetensors(b'{"' + b'\\"' * (1 << 18))),
        ("names.safetensors", samples.safetensors(b"{" + b'"a"' * (1 << 18))),
        ("shape.safetensors", samples.safetensors({"a": samples.tensor(0, 1, "U8", [(1 << 62) + 1] * 10_000)})),
    ],
)
def test_what_would_take_memory_or_time_is_given_up(path: str, data: bytes) -> None:
    assert judged(path, data)


def test_no_more_than_a_limit_is_read_of_one_file() -> None:
    # Each opcode's value is just short enough to be read.
    piece = b"\x8d" + struct.pack("<Q", 1_000) + bytes(1_000)
    size = 4 * LIMIT

    class Endless(Read):
        def __call__(self, offset: int, length: int) -> bytes:
            super().__call__(offset, length)
            begin = offset % len(piece)
            return (piece * (length // len(piece) + 2))[begin : begin + length]

    read = Endless(b"")
    (found,) = scan("model.pkl", size, read)
    assert found.kind is Kind.UNREADABLE
    assert read.total <= LIMIT


def test_a_file_that_is_shorter_than_its_listing_says_is_a_finding() -> None:
    data = samples.torch_archive(samples.state_dict())
    assert scan("model.pt", len(data) + 100, Read(data))


SUFFIXES = ("bin", "pt", "pkl", "safetensors", "gguf", "npy", "npz", "keras", "h5", "config.json", "dat")
SAMPLES = [sample.data for sample in (*samples.bad(), *samples.good(), *samples.headers()) if len(sample.data) < 2_000]


@given(st.sampled_from(SUFFIXES), st.binary(max_size=300))
def test_any_bytes_give_a_verdict(suffix: str, data: bytes) -> None:
    judged(f"model.{suffix}", data)


@given(st.sampled_from(SUFFIXES), st.sampled_from(SAMPLES), st.data())
def test_any_damage_gives_a_verdict(suffix: str, data: bytes, draw: st.DataObject) -> None:
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 4))):
        if changed:
            at = draw.draw(st.integers(0, len(changed) - 1))
            changed[at : at + draw.draw(st.integers(0, 2))] = draw.draw(st.binary(max_size=3))
    judged(f"model.{suffix}", bytes(changed))


@given(st.sampled_from(SAMPLES), st.integers(0, 2_000))
def test_a_file_cut_anywhere_gives_a_verdict(data: bytes, length: int) -> None:
    for suffix in SUFFIXES:
        judged(f"model.{suffix}", data[:length])


OPCODES = st.lists(
    st.sampled_from(
        [
            b"N", b"(", b")", b"]", b"}", b"0", b"1", b"2", b"t", b"l", b"d", b"o", b"R", b"b", b"a", b"e", b"s", b"u",
            b"\x81", b"\x85", b"\x86", b"\x87", b"\x93", b"\x94", b"\x92", b"\x8f", b"\x90", b"\x91",
            b"q\x00", b"h\x00", b"q\x01", b"h\x01", b"K\x01", b"\x8c\x02os", b"\x8c\x06system", b"U\x01a", b"Vos\n",
            b"ccollections\nOrderedDict\n", b"ibuiltins\nset\n", b"\x82\x01", b"p0\n", b"g0\n", b"\x80\x04", b".",
        ]
    ),
    max_size=60,
)  # fmt: skip


@given(OPCODES, st.booleans())
def test_a_call_of_the_system_is_found_after_any_opcodes(opcodes: list[bytes], is_raw: bool) -> None:
    data = b"".join(opcodes) + b"cos\nsystem\n."
    found = judged(f"model.{'bin' if is_raw else 'pkl'}", data)
    assert found


@pytest.mark.parametrize("form", ["octal", "signed", "base 256"])
def test_a_tar_is_told_by_each_sum_that_its_readers_take(form: str) -> None:
    data = bytearray(samples.old_tar("pickl\u00e9" if form == "signed" else "pickle", samples.EVIL))
    bare = data[:148] + b" " * 8 + data[156:512]
    if form == "signed":
        data[148:156] = b"%06o\0 " % sum(byte - 256 * (byte > 127) for byte in bare)
    elif form == "base 256":
        data[148:156] = b"\x80" + sum(bare).to_bytes(7, "big")
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
        assert archive.getnames()
    [found] = scan("pytorch_model.bin", len(data), lambda offset, length: bytes(data[offset : offset + length]))
    assert (found.kind, found.what) == (Kind.CONTAINER, "is packed (tar), and not looked into")
