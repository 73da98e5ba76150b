"""The manifest: which files a package holds. Its digest is the identity of the package."""

from __future__ import annotations

import json
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSION = 1


def archive_order(path: str) -> tuple[bool, bytes]:
    """Sort key of members: by the bytes of the path, with everything under `code/` last.

    Code changes often and weights do not, so an edit leaves the front of the archive as it was.
    """
    return path.startswith("code/"), path.encode()


@dataclass(frozen=True)
class Member:
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


@dataclass(frozen=True)
class Manifest:
    """The members of a package in archive order.

    Raises:
        UserError: a path is absolute, climbs, is empty, holds a control character, stands twice, differs from another
            only by case or Unicode normalisation, or is both a file and a folder.
    """

    members: tuple[Member, ...]

    @classmethod
    def of(cls, members: Iterable[Member]) -> Manifest:
        """A manifest of `members`, put in archive order."""
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
    def from_json(cls, document: dict[str, Any]) -> Manifest:
        """The manifest of a document.

        Raises:
            UserError: the document is of another version, or lacks a field.
        """
        try:
            if document["version"] != VERSION:
                raise UserError(f"manifest version {document['version']!r} is not {VERSION}")
            return cls.of(
                Member(m["path"], m["size"], Digest("sha256", m["sha256"]), m["executable"])
                for m in document["members"]
            )
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"not a manifest: {error!r}") from error

    def text(self) -> str:
        """The manifest as the file `manifest.json`, for people and diffs."""
        return json.dumps(self.to_json(), indent=1, ensure_ascii=False) + "\n"


def check_paths(paths: list[str]) -> None:
    """Refuse paths that an archive could not hold on every file system.

    Raises:
        UserError: naming the path, or the two that clash.
    """
    seen: dict[str, str] = {}
    for path in paths:
        _check_path(path)
        folded = _fold(path)
        if folded in seen:
            clash = "stands twice" if seen[folded] == path else f"differs from {seen[folded]!r} only by case or form"
            raise UserError(f"the path {clash}", where=path, fix="rename or exclude one of them")
        seen[folded] = path
    for path in paths:
        parts = path.split("/")
        for depth in range(1, len(parts)):
            folder = "/".join(parts[:depth])
            if _fold(folder) in seen:
                raise UserError(f"{seen[_fold(folder)]!r} is both a file and a folder", where=path)


def _fold(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def _check_path(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or "\\" in path or any(part in ("", ".", "..") for part in parts):
        raise UserError("the path is not a plain relative path", where=repr(path))
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise UserError("the path holds a control character or is not Unicode", where=repr(path))
