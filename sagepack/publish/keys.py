"""Where published things lie. Pure.

<target>/<name>/<16 hex of the manifest's digest>/model.tar.gz      the archive, never overwritten
                                                 /index.json        where every content lies in it
                                                 /model/...         or: one object a file (layout `prefix`)
                                                 /files.json        and what they are, beside them
                                                 /manifest.json  provenance.json
<target>/<name>/releases/<UTC time>-<16 hex>.json                   written last: this package is whole
<target>/contents/<sha256>.json                                     pointer: which package's archive holds it
<target>/contents/<sha256>.file.json                                pointer: which package has it as an object
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import UserError

if TYPE_CHECKING:
    from datetime import datetime

    from sagepack.aws.s3 import S3Uri
    from sagepack.digest import Digest

ARCHIVE, PREFIX = "archive", "prefix"
CONTENTS = "contents"
_RELEASE = re.compile(r"[0-9]{8}T[0-9]{6}Z-(?P<short>[0-9a-f]{16})(?P<files>\.files)?\.json")
_PACKAGE = re.compile(r"[^/]+/[0-9a-f]{16}")


@dataclass(frozen=True)
class Package:
    """The keys of one package under a target.

    Attributes:
        target: `artifact.target`.
        name: of the spec.
        digest: of the manifest.
        layout: `archive` or `prefix`.

    Raises:
        UserError: the layout is neither, or the name is that of the folder of pointers, which every publisher may write.
    """

    target: S3Uri
    name: str
    digest: Digest
    layout: str = ARCHIVE

    def __post_init__(self) -> None:
        if self.layout not in {ARCHIVE, PREFIX}:
            raise UserError(f"no such layout: {self.layout!r}", where="artifact.layout", fix="choose archive or prefix")
        if self.name == CONTENTS:
            raise UserError("pointers lie under this name", where=f"name: {self.name}", fix="choose another name")

    @property
    def path(self) -> str:
        """`name/digest`, relative to the target: how pointers and releases name a package."""
        return f"{self.name}/{self.digest.short}"

    @property
    def folder(self) -> S3Uri:
        """What the keys of the package begin with."""
        return self.target.child(self.path)

    @property
    def model(self) -> S3Uri:
        """The archive, or the prefix of the files (its key then ends in `/`, as SageMaker's `S3Prefix` must)."""
        return self.folder.child("model.tar.gz" if self.layout == ARCHIVE else "model/")

    @property
    def index(self) -> S3Uri:
        """The index of the archive, or the list of the files."""
        return self.folder.child(index_name(self.layout))

    @property
    def manifest(self) -> S3Uri:
        """The manifest."""
        return self.folder.child("manifest.json")

    @property
    def provenance(self) -> S3Uri:
        """The provenance."""
        return self.folder.child("provenance.json")

    def release(self, time: datetime) -> S3Uri:
        """The record of a release at `time` (UTC)."""
        suffix = "" if self.layout == ARCHIVE else ".files"
        return releases(self.target, self.name).child(f"{time:%Y%m%dT%H%M%SZ}-{self.digest.short}{suffix}.json")


def index_name(layout: str) -> str:
    """Name of the document that says where the contents of a package are."""
    return "index.json" if layout == ARCHIVE else "files.json"


def document_names(layout: str) -> tuple[str, ...]:
    """Names of the documents beside a package, which its release record names by their digests."""
    return index_name(layout), "manifest.json", "provenance.json"


def releases(target: S3Uri, name: str) -> S3Uri:
    """What the keys of a name's release records begin with, followed by `/`."""
    return target.child(f"{name}/releases")


def released(location: S3Uri, layout: str = ARCHIVE) -> str | None:
    """The 16 hex digits of the package that a release record's key names, or None for another key or layout."""
    match = _RELEASE.fullmatch(location.key.rpartition("/")[2])
    return match["short"] if match and bool(match["files"]) == (layout != ARCHIVE) else None


def pointer(target: S3Uri, content: Digest, layout: str = ARCHIVE) -> S3Uri:
    """The pointer of a content."""
    return target.child(f"{CONTENTS}/{content.value}{'' if layout == ARCHIVE else '.file'}.json")


def package_folder(target: S3Uri, path: str) -> S3Uri | None:
    """The folder of the package that a pointer names, or None if that is no package's path.

    A pointer leads to nothing outside the target that it lies under.
    """
    return target.child(path) if _PACKAGE.fullmatch(path) and not path.startswith(".") else None
