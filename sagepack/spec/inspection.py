"""Reading the files of a project before they are published: each is hashed and searched for secrets in one pass."""

from __future__ import annotations

import hashlib
import posixpath
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.errors import Diagnostic
from sagepack.spec.secrets import LIMIT, files

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_SHOWN = 20  # findings of one file
_REMOVE = "remove it, and revoke it if anybody may have seen it; the handler can read it from AWS Secrets Manager"
_ELF, _CORE = b"\x7fELF", 4  # ET_CORE of elf.h, at byte 16


class Inspection:
    """What speaks against publishing files, found while they are read. It stops at nothing, so that all is told at once.

    Args:
        excused: files that hold no secret whatever they look like, as messages name them.
        known: digests of files in which nothing was found before. They are not searched again.

    Attributes:
        diagnostics: what was found.
        excluded: what is no part of the package, and what it is.
        clean: digests of the files in which nothing was found, by name: `known` of the next inspection.
    """

    def __init__(self, excused: Collection[str] = (), known: Mapping[str, str] | None = None) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.excluded: dict[str, str] = {}
        self.clean: dict[str, str] = {}
        self._excused = {posixpath.normpath(name) for name in excused}
        self._known = known or {}

    def refuse(self, where: str, message: str, fix: str | None = None) -> None:
        """Note that what is at `where` cannot be published."""
        found = Diagnostic((), message, fix, location=where)
        if found not in self.diagnostics:  # the sample may be a file of the code, which was read before
            self.diagnostics.append(found)

    def refuses_folder(self, name: str, where: str) -> bool:
        """Whether a folder must not be published, which is noted."""
        why = files.reason_of_folder(name)
        if why is None or where in self._excused:
            return False
        self._refuse_file(where, why)
        return True

    def read(self, path: Path, where: str) -> Digest | None:
        """Hash a file, and note the secrets in it.

        Args:
            path: the file.
            where: its name in messages: relative to the project.

        Returns:
            SHA-256 of its content; None for a core dump, which holds the memory of a program and is no part of one.

        Raises:
            OSError: it cannot be read.
        """
        with path.open("rb") as file:
            head = file.read(LIMIT)
            if _is_core_dump(head):
                return None
            hashed = hashlib.sha256(head)
            while chunk := file.read(LIMIT):
                hashed.update(chunk)
            whole = file.tell() == len(head)
        digest = Digest("sha256", hashed.hexdigest())
        if where not in self._excused and self._is_clean(path.name, where, digest, head, whole=whole):
            self.clean[where] = str(digest)
        return digest

    def read_sample(self, path: Path, where: str) -> None:
        """Note the secrets in a sample request: it is sent to the endpoint, by way of S3."""
        try:
            self.read(path, where)
        except OSError as error:
            self.refuse(where, f"cannot read it: {error.strerror}")

    def _is_clean(self, name: str, where: str, digest: Digest, head: bytes, *, whole: bool) -> bool:
        """Whether nothing was found in a file; what was found is noted."""
        why = files.reason(name)
        if why:
            self._refuse_file(where, why)
            return False
        if self._known.get(where) == str(digest):
            return True
        # A run with nothing to do searches nothing.
        from sagepack.spec.secrets import texts, values  # noqa: PLC0415

        if files.may_be_a_key(name) and not (whole and texts.is_public(head)):
            self._refuse_file(where, "private keys have that name, and it holds more than certificates and public keys")
            return False
        if kind := values.kind_of(where):
            self.refuse(values.redacted(where), f"its name holds {kind}", "rename it")
            return False
        found = texts.search(name, head)
        fix = f"{_REMOVE}. If it is no secret, {_excuse(where, found[0].line)}" if found else None
        for line, kind in found[:_SHOWN]:
            self.refuse(f"{where}:{line}" if line else where, f"holds {kind}", fix)
        if len(found) > _SHOWN:
            self.refuse(where, f"holds {len(found) - _SHOWN} more secrets", fix)
        return not found

    def _refuse_file(self, where: str, why: str) -> None:
        fix = f"move it elsewhere. If it holds no secret, {_excuse(where, 0)}"
        self.refuse(where, f"must not be published: {why}", fix)


def _excuse(where: str, line: int) -> str:
    """How to say that what was found is no secret. JSON has no comments."""
    if line and PurePosixPath(where).suffix not in (".json", ".jsonl"):
        return "write `sagepack: not a secret` on that line, as a comment"
    return f"list {where} under not_secret in the spec"


def _is_core_dump(head: bytes) -> bool:
    is_big = head[5:6] == b"\x02"  # EI_DATA
    return head.startswith(_ELF) and int.from_bytes(head[16:18], "big" if is_big else "little") == _CORE
