"""The manifest: the files of a package. Its digest is the identity of the package."""

from __future__ import annotations

import json
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from sagepack.decoding import MalformedError, PathText, Sha256Hex, Size, Value, decode_json
from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1
_MAX_FOLDERS = 255
_SHOWN = 200  # characters of a path in a message


class _Member(Struct, forbid_unknown_fields=True):
    path: PathText
    size: Size
    sha256: Sha256Hex
    executable: bool


class _Document(Struct, forbid_unknown_fields=True):
    version: Literal[1]
    members: list[_Member]


def archive_order(path: str) -> tuple[bool, bytes]:
    """Sort key of members: by the bytes of the path, with everything under `code/` last.

    Code changes often and weights do not, so that an edit leaves the beginning of the archive unchanged.
    """
    return path.startswith("code/"), path.encode()


class Member(Value, frozen=True):
    """One regular file of a package.

    Attributes:
        path: relative POSIX path under `/opt/ml/model`.
        size: bytes.
        digest: SHA-256 of the content.
        executable: whether the owner may execute it (mode 0755, else 0644).
    """

    path: str
    size: int
    digest: Digest
    executable: bool = False


class Manifest(Value, frozen=True, dict=True):
    """The members of a package in archive order.

    Raises:
        UserError: the paths cannot be in one archive; see `check_paths`.
    """

    members: tuple[Member, ...]

    @classmethod
    def of(cls, members: Iterable[Member]) -> Manifest:
        """The manifest of `members`, sorted in archive order."""
        return cls(tuple(sorted(members, key=lambda member: archive_order(member.path))))

    def __post_init__(self) -> None:
        check_paths([member.path for member in self.members])

    @cached_property
    def digest(self) -> Digest:
        """The identity of the package."""
        return fingerprint(self.to_json())

    @property
    def size(self) -> int:
        """Bytes of content of all members."""
        return sum(member.size for member in self.members)

    def to_json(self) -> dict[str, Any]:
        """The document that `schemas/manifest.schema.json` describes."""
        return {
            "version": VERSION,
            "members": [
                {"path": m.path, "size": m.size, "sha256": m.digest.value, "executable": m.executable}
                for m in self.members
            ],
        }

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """Read the content of a `manifest.json`; every field is checked.

        Raises:
            UserError: it is not a manifest, or not one of this version.
        """
        try:
            document = decode_json(data, _Document)
        except MalformedError as error:
            raise UserError(f"this is not a manifest: {error}") from error
        return cls.of(Member(m.path, m.size, Digest("sha256", m.sha256), m.executable) for m in document.members)

    def text(self) -> str:
        """The content of `manifest.json`: JSON with one line for each value, so that it can be compared by line."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"


def check_paths(paths: list[str]) -> None:
    """Check that paths can be extracted on every file system, and that a person sees what they are.

    A path is relative and plain: no `.`, `..`, empty part or backslash, at most 255 folders. It contains no control
    characters, surrogates, line or paragraph separators, and none of Unicode's invisible format characters (category Cf:
    zero-width, bidirectional, soft hyphen), with which two names can look alike, or one be displayed backwards. Paths differ
    by more than case and Unicode normalisation, and none is both a file and a folder.

    Raises:
        UserError: a path breaks one of these rules; the error names it, and the other path of a conflict.
    """
    seen: dict[str, str] = {}
    for path in paths:
        _check_path(path)
        folded = _fold(path)
        if folded in seen:
            first = _shown(seen[folded])
            clash = (
                "occurs twice"
                if seen[folded] == path
                else f"differs from {first} only by case or Unicode normalisation"
            )
            raise UserError(f"the path {clash}", where=_shown(path), fix="rename or exclude one of them")
        seen[folded] = path
    for folded, path in seen.items():
        folder = folded.rpartition("/")[0]
        while folder:
            if folder in seen:
                raise UserError(f"{_shown(seen[folder])} is both a file and a folder", where=_shown(path))
            folder = folder.rpartition("/")[0]


def _shown(path: str) -> str:
    """A path for messages, escaped and shortened."""
    return repr(path) if len(path) <= _SHOWN else f"{path[:_SHOWN]!r}..."


def _fold(path: str) -> str:
    return path.lower() if path.isascii() else unicodedata.normalize("NFC", path).casefold()


def _check_path(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise UserError("the path is not a plain relative path", where=_shown(path))
    if len(parts) > _MAX_FOLDERS + 1:
        raise UserError(f"the path has more than {_MAX_FOLDERS} folders", where=_shown(path))
    if path.isprintable():
        return
    for character in path:
        category = unicodedata.category(character)
        if category in ("Cc", "Cs"):
            raise UserError("the path contains a control character or is not Unicode", where=_shown(path))
        if category in ("Cf", "Zl", "Zp"):
            name = unicodedata.name(character, "a format character")
            raise UserError(
                f"the path contains an invisible character, {name} (U+{ord(character):04X})", where=_shown(path)
            )
