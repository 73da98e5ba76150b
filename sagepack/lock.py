"""The lock: what a spec resolved to, so that every later build takes the same bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.spec import Spec

VERSION = 1
COMMIT = re.compile(r"[0-9a-f]{40}")
_HEADER = """\
# Made by `invoke lock`; commit it. Builds take exactly these bytes, on every machine.
# yaml-language-server: $schema=../../schemas/lock.schema.json
"""


@dataclass(frozen=True)
class LockedFile:
    """A file of the model repository at the locked commit.

    Attributes:
        path: path in the repository, and under `/opt/ml/model`.
        size: bytes.
        digest: SHA-256 of the content.
        blob: the Hub's own name of the content (its ETag): the SHA-256 of an LFS file, the git SHA-1 of others. It names
            the file in huggingface_hub's cache.
    """

    path: str
    size: int
    digest: Digest
    blob: str


@dataclass(frozen=True)
class LockedRequirement:
    """A pinned requirement and the SHA-256 of each distribution file that pip chose for the image's Python."""

    requirement: str
    hashes: tuple[str, ...]


@dataclass(frozen=True)
class Lock:
    """What a spec resolved to.

    Attributes:
        asked: digest of the part of the spec that the lock answers (`asked_of`).
        model: repository id.
        commit: 40 hex digits.
        files: the chosen files, sorted by path.
        left_out: number and bytes of the repository's other files at that commit.
        image: `repository:tag` as asked.
        image_digest: digest the tag had in the registry.
        image_registry: host of the registry.
        requirements: extra requirements.
        archive_format: version of the archive format.
    """

    asked: Digest
    model: str
    commit: str
    files: tuple[LockedFile, ...]
    left_out: tuple[int, int]
    image: str
    image_digest: Digest
    image_registry: str
    requirements: tuple[LockedRequirement, ...] = ()
    archive_format: int = 1

    @property
    def image_uri(self) -> str:
        """The image by digest, as CreateModel takes it."""
        return f"{self.image_registry}/{self.image.partition(':')[0]}@{self.image_digest}"

    @property
    def size(self) -> int:
        """Bytes of the chosen files."""
        return sum(file.size for file in self.files)

    def text(self) -> str:
        """The lock as the YAML file that `schemas/lock.schema.json` describes."""
        document: dict[str, Any] = {
            "version": VERSION,
            "asked": str(self.asked),
            "archive_format": self.archive_format,
            "image": {"name": self.image, "registry": self.image_registry, "digest": str(self.image_digest)},
            "model": {
                "id": self.model,
                "commit": self.commit,
                "left_out": {"files": self.left_out[0], "bytes": self.left_out[1]},
                "files": [_file_document(file) for file in self.files],
            },
            "requirements": [{"requirement": r.requirement, "hashes": list(r.hashes)} for r in self.requirements],
        }
        return _HEADER + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=120)

    @classmethod
    def parse(cls, text: str, where: str) -> Lock:
        """The lock of a file's text.

        Raises:
            UserError: the text is not a lock of this version.
        """
        fix = "restore it from version control, or make it anew with `invoke lock --update`"
        try:
            document = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
            if document["version"] != VERSION:
                raise UserError(f"lock version {document['version']!r} is not {VERSION}", where=where, fix=fix)
            return cls._of(document)
        except (yaml.YAMLError, KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(f"this is not a lock ({type(error).__name__}: {error})", where=where, fix=fix) from error

    @classmethod
    def _of(cls, document: dict[str, Any]) -> Lock:
        model, image = document["model"], document["image"]
        if not COMMIT.fullmatch(model["commit"]):
            raise ValueError(f"model.commit is not a commit: {model['commit']!r}")
        return cls(
            asked=Digest.parse(document["asked"]),
            model=model["id"],
            commit=model["commit"],
            files=tuple(_file_of(entry) for entry in model["files"]),
            left_out=(model["left_out"]["files"], model["left_out"]["bytes"]),
            image=image["name"],
            image_digest=Digest.parse(image["digest"]),
            image_registry=image["registry"],
            requirements=tuple(
                LockedRequirement(r["requirement"], tuple(r["hashes"])) for r in document["requirements"]
            ),
            archive_format=document["archive_format"],
        )


def asked_of(spec: Spec) -> Digest:
    """Digest of what a lock depends on: the model source, the image and its region, the requirements."""
    return fingerprint(
        {
            "model": [spec.model.id, spec.model.revision, spec.model.include, spec.model.exclude, spec.model.variant],
            "image": [spec.image.repository, spec.image.tag, spec.image.account, spec.aws.region],
            "requirements": spec.code.requirements,
        }
    )


def _file_document(file: LockedFile) -> dict[str, Any]:
    document: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.digest.value}
    # The Hub names an LFS file by its SHA-256: written once.
    return document if file.blob == file.digest.value else {**document, "blob": file.blob}


def _file_of(entry: dict[str, Any]) -> LockedFile:
    sha256 = entry["sha256"]
    return LockedFile(entry["path"], int(entry["size"]), Digest("sha256", sha256), entry.get("blob", sha256))
