"""SHA-256 whose state can be saved, so that a later process continues from there.

Hashing an archive runs at 1.4 GB/s, and would read all of it even if only the last kilobytes differ from the previous build.
With the state of SHA-256 (its chaining value) at the start of `code/` only those kilobytes are hashed. hashlib does not give
access to that value, nor does a maintained library. The libcrypto that hashlib uses has it in `SHA256_CTX`, a public structure
that has not changed since OpenSSL 0.9.8 (deprecated since 3.0, but present in all of 3.x, in AWS-LC and BoringSSL), with the
same speed. So:

- the functions are looked up through hashlib's own extension module, never by the name of a library;
- before the first use their results are compared with hashlib's on inputs around every boundary, with saved and restored state;
- if a function is missing or a result differs, hashlib is used without saved states: slower, but always correct.
"""

from __future__ import annotations

import ctypes
import hashlib
from functools import cache
from typing import TYPE_CHECKING, Protocol

from sagepack.package.archive.source import Midstate

if TYPE_CHECKING:
    from collections.abc import Callable

BLOCK = 64


class _Context(ctypes.Structure):
    """SHA256_CTX of openssl/sha.h: 112 bytes."""

    _fields_ = (
        ("state", ctypes.c_uint32 * 8),
        ("bits_low", ctypes.c_uint32),
        ("bits_high", ctypes.c_uint32),
        ("data", ctypes.c_uint8 * BLOCK),
        ("pending", ctypes.c_uint),
        ("digest_length", ctypes.c_uint),
    )


class Hasher(Protocol):
    """SHA-256 of a stream, whose state is saved at a mark."""

    def update(self, data: bytes | memoryview) -> None:
        """Hash more bytes; a memoryview must be of writable memory."""

    def hexdigest(self) -> str:
        """The digest in hex; `update` must not be called afterwards."""

    def midstate(self) -> Midstate | None:
        """The state at the mark; None if the mark was not reached, or states cannot be saved."""


class _Plain:
    """hashlib's SHA-256, whose state cannot be saved."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.update = self._hash.update
        self.hexdigest = self._hash.hexdigest

    def midstate(self) -> Midstate | None:
        return None


class _Library:
    """The three functions of libcrypto, with their types."""

    def __init__(self, handle: ctypes.CDLL) -> None:
        context = ctypes.POINTER(_Context)
        self.init: Callable[..., int] = _typed(handle.SHA256_Init, context)
        self.update: Callable[..., int] = _typed(handle.SHA256_Update, context, ctypes.c_void_p, ctypes.c_size_t)
        self.final: Callable[..., int] = _typed(handle.SHA256_Final, ctypes.c_void_p, context)


def _typed(function: ctypes._NamedFuncPointer, *arguments: type[ctypes._CDataType]) -> Callable[..., int]:
    function.argtypes = arguments
    function.restype = ctypes.c_int
    return function


class _Resumable:
    """libcrypto's SHA-256, which can start at a saved state, and saves its state at a mark."""

    def __init__(self, library: _Library, mark: int, start: Midstate | None) -> None:
        self._library = library
        self._mark = mark - mark % BLOCK
        self._kept = start if start and start.offset == self._mark else None
        self._position = 0
        self._context = _Context()
        library.init(self._context)
        if start:
            self._restore(start)

    def _restore(self, start: Midstate) -> None:
        words = bytes.fromhex(start.state)
        for index in range(8):
            self._context.state[index] = int.from_bytes(words[4 * index : 4 * index + 4], "big")
        self._context.bits_high, self._context.bits_low = divmod(start.offset * 8, 1 << 32)
        self._position = start.offset

    def update(self, data: bytes | memoryview) -> None:
        before = self._mark - self._position
        if 0 <= before < len(data) and self._kept is None:
            self._add(data[:before])
            words = b"".join(word.to_bytes(4, "big") for word in self._context.state)
            self._kept = Midstate(self._mark, words.hex())
            data = data[before:]
        self._add(data)

    def _add(self, data: bytes | memoryview) -> None:
        if data:
            memory = data if isinstance(data, bytes) else ctypes.byref(ctypes.c_char.from_buffer(data))
            self._library.update(self._context, memory, len(data))
            self._position += len(data)

    def hexdigest(self) -> str:
        digest = (ctypes.c_uint8 * 32)()
        self._library.final(digest, self._context)
        return bytes(digest).hex()

    def midstate(self) -> Midstate | None:
        return self._kept


@cache
def _library() -> _Library | None:
    """The functions of libcrypto, if they exist and give the results of hashlib."""
    try:
        import _hashlib  # noqa: PLC0415  # a Python without OpenSSL has none

        # Symbols are looked up in the module and in what it is linked to; in the program where it is built in.
        library = _Library(ctypes.CDLL(getattr(_hashlib, "__file__", None)))
    except (ImportError, OSError, AttributeError):
        return None
    return library if _agrees(library) else None


def _agrees(library: _Library) -> bool:
    data = bytes(range(256)) * 3
    for length in (0, 1, 55, 56, 63, 64, 65, 127, 128, 129, 640, 700):
        for mark in range(0, length + 1, BLOCK):
            first = _Resumable(library, mark, None)
            first.update(data[:length])
            start = first.midstate()
            wanted = hashlib.sha256(data[:length]).hexdigest()
            if first.hexdigest() != wanted or (start is None and mark < length):
                return False
            if start:
                second = _Resumable(library, mark, start)
                second.update(memoryview(bytearray(data[mark:length])))
                if second.hexdigest() != wanted:
                    return False
    return True


def can_resume() -> bool:
    """Whether this Python can continue from a saved state."""
    return _library() is not None


def open_sha256(mark: int = 0, start: Midstate | None = None) -> Hasher:
    """A hasher that saves its state at the last multiple of 64 up to `mark`, and may start at an earlier saved state.

    Raises:
        ValueError: `start` is given, but `can_resume` is false.
    """
    library = _library()
    if library:
        return _Resumable(library, mark, start)
    if start:
        raise ValueError("this Python cannot resume a SHA-256")
    return _Plain()
