"""The lock file: what a spec was resolved to, so that every later build uses the same bytes.

It is committed to version control, can be merged or edited there, and may be part of a pull request from anyone. So every
field is checked before one of them is used, and a sum over all fields shows that the file was edited, damaged or cut off.
The sum is not a signature: whoever changes the lock on purpose can update the sum too, and only a review finds that.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import yaml
from msgspec import Meta, Struct

from sagepack.decoding import (
    BlobName,
    Commit,
    DigestText,
    MalformedError,
    PathText,
    Sha256Hex,
    Size,
    Task,
    Value,
    convert,
)
from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError
from sagepack.package.license import License
from sagepack.package.manifest import check_paths
from sagepack.package.revision import Revision
from sagepack.spec import images
from sagepack.spec.model import COMMIT, HUB_ADDRESS
from sagepack.spec.yaml_nodes import Place, Reader, scalar

if TYPE_CHECKING:
    from sagepack.spec.model import ModelSource, Spec

VERSION = 4
ARCHIVE_FORMAT = 1

# The keys of a spec that a lock is made from, by section; `name` and the environment select the file.
KEYS = (("model",), ("hub",), ("image",), ("aws", "region"), ("code", "requirements"), ("sandbox",))

# Enough for 50,000 files, which take 5 s to read; a lock of 10 files takes 0.5 ms, one of 5,000 takes 0.2 s.
MAX_BYTES = 16 << 20
_MAX_VALUES = 500_000
_CONFLICT = re.compile(rb"^(?:<{7}|={7}|>{7})(?: |\r?$)", re.MULTILINE)
_HEADER = """\
# Made by `invoke lock`; commit it, and do not edit it. Builds take exactly these bytes, on every machine.
# yaml-language-server: $schema=../.schemas/lock.schema.json
"""
_RESTORE = "restore it from version control, or run `invoke lock --update`"


# A text from the Hub or from a file, for people to read.
_Line = Annotated[str, Meta(min_length=1, max_length=400, pattern=r"\A[^\x00-\x1f\x7f]+\Z")]


class _File(Struct, forbid_unknown_fields=True):
    path: PathText
    size: Size
    sha256: Sha256Hex
    etag: BlobName | None = None
    hub_scan: Annotated[str, Meta(max_length=40, pattern=r"\A[a-z]+\Z")] | None = None
    accepted: Annotated[list[_Line], Meta(max_length=100)] | None = None


class _Excluded(Struct, forbid_unknown_fields=True):
    files: Size
    bytes: Size


class _License(Struct, forbid_unknown_fields=True):
    id: _Line
    name: _Line | None = None
    link: _Line | None = None


class _Model(Struct, forbid_unknown_fields=True):
    excluded: _Excluded
    files: list[_File]
    id: (
        Annotated[str, Meta(max_length=193, pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*\Z")]
        | None
    ) = None
    commit: Commit | None = None
    endpoint: Annotated[str, Meta(max_length=200, pattern=rf"\A{HUB_ADDRESS}\Z")] | None = None
    path: Annotated[str, Meta(min_length=1, max_length=4096)] | None = None
    license: _License | None = None
    gated: Literal["auto", "manual"] | None = None
    task: Task | None = None
    scan: Annotated[int, Meta(ge=1, le=1_000_000)] | None = None
    signed_by: Sha256Hex | None = None

    def __post_init__(self) -> None:
        named = (self.id is not None, self.commit is not None, self.path is None)
        if len(set(named)) > 1 or (self.endpoint and self.path is not None):
            raise ValueError("a model has id and commit, or path")


class _Image(Struct, forbid_unknown_fields=True):
    name: Annotated[
        str, Meta(max_length=329, pattern=r"\A[a-z0-9]+(?:[._/-][a-z0-9]+)*:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
    ]
    registry: Annotated[str, Meta(max_length=100, pattern=r"\A[0-9]{12}\.dkr\.ecr\.[a-z0-9-]+(?:\.[a-z0-9-]+)+\Z")]
    digest: DigestText


_Version = Annotated[str, Meta(max_length=100, pattern=r"\A[0-9][0-9A-Za-z.!+]*\Z")]


class _Package(Struct, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=200, pattern=r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z")]
    version: _Version
    file: Annotated[str, Meta(max_length=255, pattern=r"\A[A-Za-z0-9_][A-Za-z0-9_.+!-]*\.whl\Z")]
    size: Size
    sha256: Sha256Hex
    image: Annotated[str, Meta(max_length=100, pattern=r"\A(?:[0-9][0-9A-Za-z.!+]*)?\Z")] | None = None
    license: _Line | None = None
    modules: (
        Annotated[list[Annotated[str, Meta(max_length=200, pattern=r"\A[\w.]+\Z")]], Meta(max_length=10_000)] | None
    ) = None


class _Requirements(Struct, forbid_unknown_fields=True):
    """What `code.requirements` takes."""

    declared: Annotated[list[Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][ -~]{0,299}\Z")]], Meta(max_length=1000)]
    packages: Annotated[list[_Package], Meta(max_length=10_000)]

    def __post_init__(self) -> None:
        counts = Counter(package.name for package in self.packages)
        if twice := next((name for name, count in counts.items() if count > 1), None):
            raise ValueError(f"{twice} occurs twice")


class _Document(Struct, forbid_unknown_fields=True):
    version: Literal[4]
    spec_digest: DigestText
    archive_format: Literal[1]
    image: _Image
    model: _Model
    requirements: _Requirements
    sum: DigestText


class LockedFile(Value, frozen=True):
    """A file of the model repository at the locked commit.

    Attributes:
        path: path in the repository, and under `/opt/ml/model`.
        size: bytes.
        digest: SHA-256 of the content.
        etag: the ETag that the Hub gives the content: the SHA-256 of an LFS file, the git SHA-1 of others. It names the file
            in huggingface_hub's cache.
        hub_scan: what the Hub's own scan said when the lock was made, such as `safe`; None if it said nothing.
        accepted: what the scan found in the file and the spec did not refuse, one sentence each.
    """

    path: str
    size: int
    digest: Digest
    etag: str
    hub_scan: str | None = None
    accepted: tuple[str, ...] = ()


class LockedPackage(Value, frozen=True):
    """A package that the requirements take, with the wheel for the image's Python.

    Attributes:
        name: normalized name.
        version: its version.
        file: name of the wheel.
        size: bytes of the wheel.
        digest: SHA-256 of the wheel.
        image: version in the image, as far as is known; empty if only its presence is known, None if the image lacks it.
        modules: the modules in the wheel, sorted; None if they are not known.
        license: that the wheel names: an expression of SPDX, or words; None if it names none, or was not read.
    """

    name: str
    version: str
    file: str
    size: int
    digest: Digest
    image: str | None = None
    modules: tuple[str, ...] | None = None
    license: str | None = None

    @property
    def pin(self) -> str:
        """The package as a line of a requirements file."""
        return f"{self.name}=={self.version}"

    @property
    def in_image(self) -> bool:
        """Whether the image has this very version, as far as is known."""
        return self.image in ("", self.version)


class OldLockError(UserError):
    """The lock has the format of an earlier version of this program."""


class Lock(Value, frozen=True):
    """What a spec was resolved to.

    Attributes:
        spec_digest: digest of the part of the spec that the lock was made from (`lock_inputs_digest`).
        revision: the model repository and its commit; None for a model in a folder.
        files: the chosen files, sorted by path.
        excluded: number and bytes of the other files at that commit, or in the folder.
        image: `repository:tag` as the spec names it.
        image_digest: digest that the tag had in the registry.
        image_registry: host of the registry.
        requirements: the requirements of the spec.
        packages: what they take, sorted by name.
        archive_format: version of the archive format.
        folder: `model.path` of the spec, for a model in a folder.
        endpoint: address of the Hub, if the spec names it.
        license: of the model's card at that commit.
        gated: `auto` or `manual`, if the Hub gives the files only to those who accepted conditions.
        task: what the model is for, in the Hub's words (`pipeline_tag`).
        scan: version of the scan that judged every file when the lock was made; None if it was off, or did not exist yet.
            Nothing is trusted because of it: whoever fetches the files judges them again.
        signed_by: which key of `trust.publisher` has signed every file: SHA-256 of its PEM text, or of a certificate; None if none had to.
    """

    spec_digest: Digest
    revision: Revision | None
    files: tuple[LockedFile, ...]
    excluded: tuple[int, int]
    image: str
    image_digest: Digest
    image_registry: str
    requirements: tuple[str, ...] = ()
    packages: tuple[LockedPackage, ...] = ()
    archive_format: int = ARCHIVE_FORMAT
    folder: str | None = None
    endpoint: str | None = None
    license: License | None = None
    gated: str | None = None
    task: str | None = None
    scan: int | None = None
    signed_by: str | None = None

    @property
    def image_uri(self) -> str:
        """The image by its digest, for `Image` of CreateModel."""
        return f"{self.image_registry}/{self.image.partition(':')[0]}@{self.image_digest}"

    @property
    def size(self) -> int:
        """Bytes of the chosen files."""
        return sum(file.size for file in self.files)

    @property
    def known_license(self) -> str | None:
        """The licence in a word; empty if the model has none that is declared, None if the lock was made without asking."""
        if self.license:
            return str(self.license)
        return None if self.revision and self.scan is None else ""

    def is_current(self, spec: Spec) -> bool:
        """Whether the lock is up to date with `spec`: made from it, and equal to it in all that the spec itself names."""
        image = spec.image
        return (
            self.spec_digest == lock_inputs_digest(spec)
            and self._is_of(spec.model)
            and self.endpoint == spec.hub_endpoint
            and self.image == f"{image.repository}:{image.tag}"
            and self.image_registry == images.registry(spec.aws.region, image.account)
            and self.requirements == spec.code.requirements
        )

    def _is_of(self, source: ModelSource) -> bool:
        """Whether the files are those of the repository or folder that the spec names."""
        if self.revision is None:
            return self.folder == source.path
        is_pinned = COMMIT.fullmatch(source.revision or "") is not None
        return self.revision.repo == source.id and (self.revision.commit == source.revision or not is_pinned)

    def text(self) -> str:
        """The lock as the YAML file that `schemas/lock.schema.json` describes."""
        document: dict[str, Any] = {
            "version": VERSION,
            "spec_digest": str(self.spec_digest),
            "archive_format": self.archive_format,
            "image": {"name": self.image, "registry": self.image_registry, "digest": str(self.image_digest)},
            "model": {
                **self._source_document(),
                **self._about_document(),
                "excluded": {"files": self.excluded[0], "bytes": self.excluded[1]},
                "files": [_file_document(file) for file in self.files],
            },
            "requirements": {
                "declared": list(self.requirements),
                "packages": [_package_document(package) for package in self.packages],
            },
        }
        # The sum comes last, so that a file that was cut has none.
        document["sum"] = str(fingerprint(document))
        return _HEADER + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)

    def _source_document(self) -> dict[str, str]:
        """Where the files come from."""
        if self.revision is None:
            return {"path": str(self.folder)}
        endpoint = {"endpoint": self.endpoint} if self.endpoint else {}
        return {"id": self.revision.repo, "commit": self.revision.commit, **endpoint}

    def _about_document(self) -> dict[str, Any]:
        """What else is known of the model."""
        about = {
            "license": self.license and _license_document(self.license),
            "gated": self.gated,
            "task": self.task,
            "scan": self.scan,
            "signed_by": self.signed_by,
        }
        return {key: value for key, value in about.items() if value is not None}

    @classmethod
    def parse(cls, data: bytes, where: str) -> Lock:
        """Read the content of a lock file; every field is checked.

        Args:
            data: the content.
            where: path of the file, for messages.

        Raises:
            UserError: it is not a lock of this version, or it is empty, cut off, edited, damaged, or in a merge conflict.
        """
        document = _verified_document(data, where)
        if (archive_format := document.get("archive_format")) != ARCHIVE_FORMAT:
            raise UserError(
                f"the lock requires archive format {archive_format!r:.80}, this version of sagepack writes {ARCHIVE_FORMAT}",
                where=where,
                fix="use the version of sagepack that wrote the lock, or run `invoke lock --update`",
            )
        try:
            checked = convert(document, _Document)
            check_paths([file.path for file in checked.model.files])
        except MalformedError as error:
            _refuse(f"this is not a lock: {error}", where, error)
        except UserError as error:
            _refuse(f"this is not a lock: model.files: {error.message}: {error.where}", where, error)
        model, image = checked.model, checked.image
        return cls(
            spec_digest=Digest.parse(checked.spec_digest),
            revision=Revision(model.id, model.commit) if model.id and model.commit else None,
            files=tuple(
                LockedFile(
                    file.path,
                    file.size,
                    Digest("sha256", file.sha256),
                    file.etag or file.sha256,
                    file.hub_scan,
                    tuple(file.accepted or ()),
                )
                for file in model.files
            ),
            excluded=(model.excluded.files, model.excluded.bytes),
            image=image.name,
            image_digest=Digest.parse(image.digest),
            image_registry=image.registry,
            requirements=tuple(checked.requirements.declared),
            packages=tuple(map(_package, checked.requirements.packages)),
            archive_format=checked.archive_format,
            folder=model.path,
            endpoint=model.endpoint,
            license=License(model.license.id, model.license.name, model.license.link) if model.license else None,
            gated=model.gated,
            task=model.task,
            scan=model.scan,
            signed_by=model.signed_by,
        )


def lock_inputs_digest(spec: Spec) -> Digest:
    """Digest of the part of a spec that a lock is made from: model source, image and region, requirements."""
    source = spec.model
    where = {"path": source.path, "hub": spec.hub_endpoint}
    return fingerprint(
        {
            "model": [source.id, source.revision, source.include, source.exclude, source.variant],
            **{key: value for key, value in where.items() if value is not None},
            "image": [spec.image.repository, spec.image.tag, spec.image.account, spec.aws.region],
            "requirements": spec.code.requirements,
        }
    )


def _file_document(file: LockedFile) -> dict[str, Any]:
    document: dict[str, Any] = {"path": file.path, "size": file.size, "sha256": file.digest.value}
    if file.etag != file.digest.value:  # that of an LFS file is its SHA-256, which need not be written twice
        document["etag"] = file.etag
    if file.hub_scan is not None:
        document["hub_scan"] = file.hub_scan
    return {**document, "accepted": list(file.accepted)} if file.accepted else document


def _license_document(found: License) -> dict[str, str]:
    more = {"name": found.name, "link": found.link}
    return {"id": found.id, **{key: value for key, value in more.items() if value is not None}}


def _package_document(package: LockedPackage) -> dict[str, Any]:
    document: dict[str, Any] = {
        "name": package.name,
        "version": package.version,
        "file": package.file,
        "size": package.size,
        "sha256": package.digest.value,
    }
    if package.image is not None:
        document["image"] = package.image
    if package.license is not None:
        document["license"] = package.license
    return document if package.modules is None else {**document, "modules": list(package.modules)}


def _package(checked: _Package) -> LockedPackage:
    return LockedPackage(
        name=checked.name,
        version=checked.version,
        file=checked.file,
        size=checked.size,
        digest=Digest("sha256", checked.sha256),
        image=checked.image,
        modules=None if checked.modules is None else tuple(checked.modules),
        license=checked.license,
    )


def _verified_document(data: bytes, where: str) -> dict[str, Any]:
    """The document of a lock of this version, whose sum is right; its fields are not checked yet."""
    if len(data) > MAX_BYTES:
        _refuse(f"this is not a lock: it has {len(data):,} bytes; at most {MAX_BYTES:,} are read", where)
    if conflict := _CONFLICT.search(data):
        line = data.count(b"\n", 0, conflict.start()) + 1
        raise UserError(
            "the lock contains a merge conflict",
            where=f"{where}:{line}",
            fix="take one version of the file (`git checkout --ours FILE` or `--theirs`), then run `invoke lock`",
        )
    document = _plain(data, where)
    if document is None:
        _refuse("the lock is empty", where)
    if not isinstance(document, dict):
        _refuse("this is not a lock: it is not a YAML mapping", where)
    version, expected = document.get("version", VERSION), document.get("sum")
    if isinstance(version, int) and 0 < version < VERSION:
        message = f"the lock has format version {version}, this version of sagepack writes {VERSION}"
        raise OldLockError(message, where=where, fix="run `invoke lock` and commit the file")
    if version != VERSION:
        raise UserError(
            f"the lock has format version {version!r:.80}, this version of sagepack reads {VERSION}",
            where=where,
            fix="run `invoke lock --update` and commit the file: a pinned revision resolves to the same files",
        )
    if expected is None:
        _refuse("the end of the lock is missing: it has no sum", where)
    if expected != str(fingerprint({key: value for key, value in document.items() if key != "sum"})):
        raise UserError(
            "the lock was edited or damaged: its sum is wrong",
            where=where,
            fix="restore it from version control or run `invoke lock --update`",
        )
    return document


def _plain(data: bytes, where: str) -> Any:
    """The document as Python values; None for an empty one."""
    reader = Reader(lambda line, column: Place(0, line + 1, column + 1, where), _MAX_VALUES)
    try:
        node = reader.read(data.decode())
    except UnicodeDecodeError as error:
        _refuse(f"the lock is damaged: byte {error.start} is not UTF-8 text", where, error)
    for found in reader.diagnostics:
        _refuse(f"this is not a lock: {found.message}", found.location)
    return node and node.plain()


def _refuse(message: str, where: str, cause: Exception | None = None) -> NoReturn:
    raise UserError(message, where=where, fix=_RESTORE) from cause


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc] # which of the two is known at run time
    """Quotes texts that YAML 1.2 reads as a number, boolean or null. PyYAML follows YAML 1.1, and would not quote them."""


def _text(dumper: Any, text: str) -> Any:
    style = None if isinstance(scalar(text), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
