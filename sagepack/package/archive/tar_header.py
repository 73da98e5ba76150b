"""Tar headers of format 1: ustar, with a pax record only for what ustar cannot say.

What is normalised, and why:

- mtime 0, uid and gid 0, no user or group name, device 0: these are not properties of a model.
- Mode 0644 or 0755: the other bits depend on the umask of the process that downloaded the file.
- A path of at most 100 bytes is in `name`. A longer one is split at the last slash that leaves at most 155 bytes for
  `prefix` (as GNU tar does); if that is not possible it needs pax. So does a path that is not ASCII, because POSIX leaves the
  meaning of other bytes in a ustar field open.
- A size of 8 GiB or more (12 octal digits) needs pax.

A field that a pax record overrides still has the same value as far as possible, for readers that ignore pax: the first bytes
of a long path, the UTF-8 bytes of a path, and a large size in the base-256 form of GNU tar (as libarchive writes it).
"""

from __future__ import annotations

BLOCK = 512
END = bytes(2 * BLOCK)  # two zero blocks: the end of a tar stream

_NAME, _PREFIX = 100, 155
_SIZE_LIMIT = 8**11
_PAX_NAME = b"././@PaxHeader"


def padding(size: int) -> int:
    """Number of zero bytes between `size` bytes of content and the next header."""
    return -size % BLOCK


def tar_header(path: str, size: int, *, executable: bool = False) -> bytes:
    """Everything before the content of a member: a ustar header, after a pax record if one is needed.

    Args:
        path: relative POSIX path that `manifest.check_paths` accepts.
        size: bytes of content.
        executable: mode 0755 instead of 0644.
    """
    raw = path.encode()
    prefix, name = _split(raw) or (b"", _cut(path))
    records = b""
    if not path.isascii() or _split(raw) is None:
        records += _record("path", path)
    if size >= _SIZE_LIMIT:
        records += _record("size", str(size))
    main = _ustar(prefix, name, 0o755 if executable else 0o644, size, b"0")
    if not records:
        return main
    return _ustar(b"", _PAX_NAME, 0o644, len(records), b"x") + records + bytes(padding(len(records))) + main


def _split(raw: bytes) -> tuple[bytes, bytes] | None:
    """`prefix` and `name` of a path; None if it is too long for them."""
    if len(raw) <= _NAME:
        return b"", raw
    prefix, slash, name = raw[: _PREFIX + 1].rpartition(b"/")
    name += raw[_PREFIX + 1 :]
    return (prefix, name) if slash and len(name) <= _NAME else None


def _cut(path: str) -> bytes:
    """The first bytes of a path that pax has in full: complete characters, no slash at the end (it would mean a folder)."""
    return path.encode()[:_NAME].decode(errors="ignore").rstrip("/").encode()


def _record(key: str, value: str) -> bytes:
    """A pax record, `length key=value` and a newline, whose length counts its own digits (POSIX.1, pax)."""
    body = f" {key}={value}\n".encode()
    length = len(body)
    while length != len(body) + len(str(length)):
        length = len(body) + len(str(length))
    return str(length).encode() + body


def _ustar(prefix: bytes, name: bytes, mode: int, size: int, kind: bytes) -> bytes:
    """One header block. The checksum is the sum of its bytes with its own field as spaces (POSIX.1, ustar)."""
    size_field = b"%011o\0" % size if size < _SIZE_LIMIT else b"\x80" + size.to_bytes(11, "big")
    head = b"%b%07o\0%07o\0%07o\0%b%011o\0" % (name.ljust(_NAME, b"\0"), mode, 0, 0, size_field, 0)
    tail = (
        kind
        + bytes(100)
        + b"ustar\x0000"
        + bytes(64)
        + b"%07o\0%07o\0" % (0, 0)
        + prefix.ljust(_PREFIX, b"\0")
        + bytes(12)
    )
    checksum = sum(head) + sum(b" " * 8) + sum(tail)
    return head + b"%06o\0 " % checksum + tail
