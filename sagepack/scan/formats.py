"""What a file is, by its first bytes, and what is wrong with it where these say it."""

from __future__ import annotations

import re
import struct
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sagepack.scan.callables import HAS_TORCHSCRIPT, KERAS_LAMBDA, TORCHSCRIPT
from sagepack.scan.finding import Finding, Kind, RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.scan.ranges import Ranges

PICKLES = (".pkl", ".pickle", ".pt", ".pth", ".pt2", ".ckpt", ".bin", ".joblib", ".dill", ".th", ".pyt")
"""Suffixes of files that their loaders take for pickles, whatever is in them."""
ARCHIVES = {
    ".zip",
    ".tar",
    ".gz",
    ".tgz",
    ".bz2",
    ".xz",
    ".7z",
    ".rar",
    ".zst",
    ".lz4",
    ".jar",
    ".whl",
    ".egg",
    ".keras",
}
PROGRAMS = {".so", ".dll", ".dylib", ".exe", ".pyc", ".pyd"}
# Texts, pictures and sounds, which their loaders take for nothing else.
_TEXTS = "json jsonl txt md rst py yaml yml toml ini cfg csv tsv jinja jinja2 j2 html xml css license merges vocab bpe tiktoken"
_MEDIA = "png jpg jpeg gif webp svg bmp ico mp4 mov webm avi mp3 wav flac ogg pdf ttf otf"
_PLAIN = {f".{suffix}" for suffix in f"{_TEXTS} {_MEDIA}".split()}
_PLAIN_NAMES = {"license", "notice", "copying", "readme", ".gitattributes", ".gitignore", "makefile", "dockerfile"}
HAS_LAMBDA = "holds a layer that is a function of Python"
# In the JSON of a model's configuration. No program that writes JSON escapes a letter, so who does hides a name.
_LAMBDA = re.compile(rb'"(?:TFOp)?Lambda"|\\u00[2-7][0-9A-Fa-f]')
NPY = b"\x93NUMPY"
NPY_HEADER = 1 << 16
HDF5 = b"\x89HDF\r\n\x1a\n"
HDF5_SUFFIXES = (".h5", ".hdf5")
GGUF = b"GGUF"
# The identifier of its schema (mobile_bytecode.fbs), which stands behind the first offset.
_FLATBUFFER_OF_TORCH = b"PTMF"
_OBJECT = re.compile(rb"""['"][|<>=]?O[0-9]*['"]""")
_HDF5_WHOLE = 60 << 20  # bytes up to which a file of HDF5 is read
_HDF5_PART, _HDF5_OVERLAP = 1 << 20, 32
_HDF5_END = 2 << 20  # bytes that are read from each end of a larger one
_PACKED = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\x00", "xz"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "RAR"),
    (b"\x28\xb5\x2f\xfd", "zstandard"),
    (b"\x04\x22\x4d\x18", "LZ4"),
    (b"ZF", "joblib"),
)
_MACHO = {bytes.fromhex(magic) for magic in ("feedface", "feedfacf", "cefaedfe", "cffaedfe", "cafebabe")}
_TAR_BLOCK, _BASE_256, _SIGNED = 512, 0x80, 0x7F
_ELF, _PE, _TAR = b"\x7fELF", b"MZ", b"ustar"
_LEAST_TENSOR, _LEAST_KEY, _GGUF_HEADER = 24, 13, 24  # bytes of an entry in a file of GGUF


def is_plain(path: str) -> bool:
    """Whether a file is a text, a picture or a sound by its name: its loader takes it for nothing else."""
    file = PurePosixPath(path.lower())
    return file.suffix in _PLAIN or file.name in _PLAIN_NAMES


def container(head: bytes, *, is_pickle: bool) -> str | None:
    """The name of the format, if a file is an archive or packed, and not looked into.

    Args:
        head: its first bytes.
        is_pickle: whether a loader takes the file for a pickle, which joblib unpacks.
    """
    found = next((name for magic, name in _PACKED if head.startswith(magic)), None)
    if found is None and _is_tar(head[:_TAR_BLOCK]):
        return "tar"
    # RFC 1950, 2.2: the method and window of zlib, and a checksum of five bits.
    if found is None and is_pickle and head[:1] == b"x" and len(head) > 1 and (head[0] * 256 + head[1]) % 31 == 0:
        return "zlib"
    return found


def _is_tar(block: bytes) -> bool:
    """Whether a file begins as a tar, by the sum of its first block: the oldest form, which torch's loader takes too, has no magic."""
    if len(block) < _TAR_BLOCK or block[257:262] == _TAR:
        return block[257:262] == _TAR
    # POSIX.1-1988: octal digits, or base 256 (GNU); the bytes of the field count as spaces, the others with or without a sign.
    told = block[148:156]
    digits = told.strip(b" \0")
    others = block[:148] + block[156:]
    if told[0] == _BASE_256:
        value = int.from_bytes(told[1:], "big")
    elif digits and set(digits) <= set(b"01234567"):
        value = int(digits, 8)
    else:
        return False
    unsigned = 8 * ord(" ") + sum(others)
    return value in (unsigned, unsigned - 256 * sum(byte > _SIGNED for byte in others))


def is_program(head: bytes) -> bool:
    """Whether a file is machine code, of Linux, Windows or macOS."""
    if head.startswith(_PE):
        offset = int.from_bytes(head[60:64], "little")
        return head[offset : offset + 4] == b"PE\0\0" or offset + 4 > len(head)
    return head.startswith(_ELF) or head[:4] in _MACHO


def torchscript(path: str, head: bytes) -> Iterator[Finding]:
    """A program of TorchScript as a flatbuffer (`.ptl`, `.ff`), which torch's loader runs."""
    if head[4:8] == _FLATBUFFER_OF_TORCH:
        yield Finding(path, Kind.CALLS, HAS_TORCHSCRIPT, "byte 4", (TORCHSCRIPT,))


def check_gguf(file: Ranges) -> None:
    """Check that a file of GGUF may hold what its header counts.

    Raises:
        RefusedError: it is none, or its counts are impossible.
    """
    head = file.head(_GGUF_HEADER)
    if head[:4] != GGUF or len(head) < _GGUF_HEADER:
        raise RefusedError(Kind.MALFORMED, "is not a file of GGUF", "byte 0")
    version, tensors, keys = struct.unpack_from("<IQQ", head, 4)
    if version not in (2, 3) or _LEAST_TENSOR * tensors + _LEAST_KEY * keys + _GGUF_HEADER > file.size:
        what = f"says GGUF version {version}, {tensors:,} tensors and {keys:,} keys, in a file of {file.size:,} bytes"
        raise RefusedError(Kind.MALFORMED, what, "byte 4")


def has_objects(head: bytes) -> bool:
    """Whether an array of numpy holds objects of Python, by its first bytes.

    Raises:
        RefusedError: it is no array.
    """
    if not head.startswith(NPY) or len(head) < 12:
        raise RefusedError(Kind.MALFORMED, "is not an array of numpy", "byte 0")
    wide = head[6] > 1
    begin = 12 if wide else 10
    length = int.from_bytes(head[8:begin], "little")
    if begin + length > min(len(head), NPY_HEADER):
        raise RefusedError(Kind.MALFORMED, f"says that its header has {length:,} bytes", "byte 8")
    return _OBJECT.search(head[begin : begin + length]) is not None


def hdf5(path: str, file: Ranges) -> Iterator[Finding]:
    """Layers of Keras that are Python functions, in the configuration of a model.

    Keras writes it before the weights, so that it is near the beginning of a large file, or near the end.

    Raises:
        RefusedError: it does not begin as such a file; its reader would look for the beginning further on.
    """
    if file.head(len(HDF5)) != HDF5:
        raise RefusedError(Kind.MALFORMED, "is not a file of HDF5", "byte 0")
    for offset, length in _hdf5_parts(file.size):
        if found := _LAMBDA.search(file.get(offset, length)):
            yield Finding(path, Kind.CALLS, HAS_LAMBDA, f"byte {offset + found.start():,}", (KERAS_LAMBDA,))
            return


def _hdf5_parts(size: int) -> Iterator[tuple[int, int]]:
    """The parts of a file that are looked at, which overlap by the length of what is looked for."""
    if size > _HDF5_WHOLE:
        yield 0, _HDF5_END
        yield size - _HDF5_END, _HDF5_END
        return
    for offset in range(0, size, _HDF5_PART):
        yield offset, min(_HDF5_PART + _HDF5_OVERLAP, size - offset)
