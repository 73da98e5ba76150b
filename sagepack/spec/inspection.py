"""Reads the files of a project before they are published: each is hashed and searched for secrets in one pass."""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from sagepack.digest import Digest
from sagepack.errors import Diagnostic
from sagepack.files import is_lfs_pointer, unreadable
from sagepack.spec.secrets import LIMIT, files, values

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from sagepack.spec.secrets.texts import Occurrence

_SHOWN = 20  # diagnostics for one file
_REMOVE = "remove it, and revoke it if others may have seen it; the handler can read it from AWS Secrets Manager"
_ELF, _CORE = b"\x7fELF", 4  # e_type ET_CORE of elf.h, at byte 16


class Detector(Protocol):
    """What finds secrets in the text of a file: the module `secrets.texts`. Whoever searches nothing need not import it."""

    def is_public(self, data: bytes) -> bool:
        """Whether a file contains nothing but certificates and public keys."""

    def search(self, name: str, data: bytes) -> Sequence[Occurrence]:
        """The line and the kind of each secret in a file."""


class Inspection:
    """Reads files and collects the reasons not to publish them, instead of stopping at the first.

    Args:
        detector: finds secrets in text.
        allowed: files and folders, named as in messages, that are published although they look like secrets.
        known_clean: SHA-256 of files without secrets, by name, from `clean` of an earlier inspection. A file with the same
            digest is not searched again.

    Attributes:
        diagnostics: the reasons that were found.
        excluded: files and folders that are not packaged, and what each is.
        clean: SHA-256 of the files that were read and have no secrets, by name.
    """

    def __init__(
        self, detector: Detector, allowed: Collection[str] = (), known_clean: Mapping[str, str] | None = None
    ) -> None:
        self._detector = detector
        self.diagnostics: list[Diagnostic] = []
        self.excluded: dict[str, str] = {}
        self.clean: dict[str, str] = {}
        self._allowed = {posixpath.normpath(name) for name in allowed}
        self._known_clean = known_clean or {}

    def report(self, location: str, message: str, fix: str | None = None) -> None:
        """Add the reason why what is at `location` cannot be published."""
        found = Diagnostic((), message, fix, location=location)
        if found not in self.diagnostics:  # the sample may be a file of the code, which was read before
            self.diagnostics.append(found)

    def allows_folder(self, name: str, location: str) -> bool:
        """Whether a folder may be published, by its name; if not, it is reported."""
        why = files.reason_for_folder(name)
        if why is None or location in self._allowed:
            return True
        self._report_name(location, why)
        return False

    def read(self, path: Path, location: str) -> Digest | None:
        """Hash a file, and report the secrets in it.

        Args:
            path: the file.
            location: the file as messages name it: relative to the project.

        Returns:
            SHA-256 of its content; None for a core dump, which contains the memory of a process and is never packaged.

        Raises:
            OSError: the file cannot be read.
        """
        with path.open("rb") as file:
            head = file.read(LIMIT)
            if _is_core_dump(head):
                return None
            hashed = hashlib.sha256(head)
            while chunk := file.read(LIMIT):
                hashed.update(chunk)
            is_whole = file.tell() == len(head)
        digest = Digest("sha256", hashed.hexdigest())
        if location not in self._allowed and self._is_clean(path.name, location, digest, head, is_whole=is_whole):
            self.clean[location] = str(digest)
        return digest

    def examine(self, path: Path, location: str, digest: Digest) -> None:
        """Report the secrets in a file whose digest is known; it is read only if it was not searched before.

        Raises:
            OSError: the file cannot be read.
        """
        if location in self._allowed:
            return
        head, is_whole = b"", True
        if self._known_clean.get(location) != str(digest):
            with path.open("rb") as file:
                head = file.read(LIMIT)
                is_whole = not file.read(1)
            if _is_core_dump(head):
                self._report_name(location, "a core dump contains the memory of a process")
                return
        if is_lfs_pointer(head):
            self.report(
                location, "this is a pointer of git LFS, not the file itself", "fetch the files: `git lfs pull`"
            )
        elif self._is_clean(path.name, location, digest, head, is_whole=is_whole):
            self.clean[location] = str(digest)

    def read_sample(self, path: Path, location: str) -> None:
        """Report the secrets in a sample request, which is sent to the endpoint through S3."""
        try:
            self.read(path, location)
        except OSError as error:
            self.report(location, *unreadable(error))

    def _is_clean(self, name: str, location: str, digest: Digest, head: bytes, *, is_whole: bool) -> bool:
        """Whether a file, of which `head` are the first bytes, has no secrets; those that it has are reported."""
        if why := files.reason_for_file(name):
            self._report_name(location, why)
            return False
        if self._known_clean.get(location) == str(digest):
            return True
        if files.may_be_key_file(name) and not (is_whole and self._detector.is_public(head)):
            self._report_name(
                location, "private keys have this name, and it contains more than certificates and public keys"
            )
            return False
        if kind := values.kind_of(location):
            self.report(values.redacted(location), f"its name contains {kind}", "rename it")
            return False
        found = self._detector.search(name, head)
        fix = f"{_REMOVE}. If it is not a secret, {_how_to_allow(location, found[0].line)}" if found else None
        for line, kind in found[:_SHOWN]:
            self.report(f"{location}:{line}" if line else location, f"contains {kind}", fix)
        if len(found) > _SHOWN:
            self.report(location, f"contains {len(found) - _SHOWN} more secrets", fix)
        return not found

    def _report_name(self, location: str, why: str) -> None:
        fix = f"move it out of the folder. If it contains no secret, {_how_to_allow(location, 0)}"
        self.report(location, f"must not be published: {why}", fix)


def _how_to_allow(location: str, line: int) -> str:
    """How the user declares that a line, or with `line` 0 a file, is not a secret. JSON has no comments."""
    if line and PurePosixPath(location).suffix not in (".json", ".jsonl"):
        return "write `sagepack: not a secret` in a comment on that line"
    return f"list {location} under not_secret in the spec"


def _is_core_dump(head: bytes) -> bool:
    """Whether these are the first bytes of an ELF core dump, in either byte order."""
    is_big = head[5:6] == b"\x02"  # EI_DATA
    return head.startswith(_ELF) and int.from_bytes(head[16:18], "big" if is_big else "little") == _CORE
