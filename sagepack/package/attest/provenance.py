"""The provenance of a package: an in-toto statement with SLSA provenance v1, which other tools can read. Pure.

It names everything that the package was made from, with its digest. It says who built and from what commit of the project, as far as
the builder's own word goes: only a signature shows whose word that is. The level of SLSA is whatever the signer's surroundings
deserve (docs/how-to/sbom.md), so the document claims none.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import quote

from msgspec import Meta, Struct, field

from sagepack.decoding import MalformedError, Sha256Hex, Text, Value, decode_json
from sagepack.digest import Digest, fingerprint
from sagepack.package.requirements import listing
from sagepack.version import __version__

if TYPE_CHECKING:
    from sagepack.package.lock import Lock
    from sagepack.package.manifest import Manifest
    from sagepack.spec.model import Spec

_PYPI = "pkg:pypi/"
_PROJECT = "project"
BUILD_TYPE = "urn:x-sagepack:package:v1"
LOCAL = "urn:x-sagepack:local"
_CHOICE = frozenset({"include", "exclude", "variant"})
_VERSIONS = 3  # of the document, whose builds are compared


class ProjectCommit(Value, frozen=True):
    """The commit of the project that a package was built from.

    Attributes:
        commit: 40 hex digits, or 64 where git names objects by SHA-256.
        clean: whether the folder was as the commit has it; files that git ignores do not count.
        uri: of the repository and the branch or tag, as `git+https://host/owner/name@refs/heads/main`; None if it is not known.
    """

    commit: str
    clean: bool = True
    uri: str | None = None


class Origin(Value, frozen=True):
    """Who built a package, and from what. It has no part in what the package is.

    Attributes:
        builder: URI of the builder: `LOCAL` for a person's machine, or the workflow of a CI.
        project: the project's commit; None without git.
    """

    builder: str = LOCAL
    project: ProjectCommit | None = None


def statement(spec: Spec, lock: Lock, manifest: Manifest, origin: Origin | None = None) -> dict[str, Any]:
    """The document that `schemas/provenance.schema.json` describes; equal for equal packages of equal origin.

    It contains no time, which the release record has, and no account or environment variable of the container, since whoever may
    read the package need not know them.
    """
    origin = origin or Origin()
    model = {**_model(lock), "annotations": {"files": len(lock.files), "bytes": lock.size}}
    image = {"uri": f"docker://{lock.image_registry}/{lock.image}", "digest": {"sha256": lock.image_digest.value}}
    requirements = [
        {"uri": f"{_PYPI}{package.name}@{package.version}", "digest": {"sha256": package.digest.value}}
        for package in listing.installed(lock, vendored=spec.code.vendor)
    ]
    project = [_project(origin.project)] if origin.project else []
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            # The manifest of the same folder: it has the digest of every content, whatever the form of the package.
            {"name": "manifest.json", "digest": {"sha256": Digest.sha256(manifest.text().encode()).value}}
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {
                    "name": spec.name,
                    "model": _parameters(spec),
                    "image": lock.image,
                    "requirements": list(spec.code.requirements),
                    **({"vendor": True} if spec.code.vendor else {}),
                },
                "internalParameters": {"archiveFormat": lock.archive_format, "manifest": str(manifest.digest)},
                "resolvedDependencies": [model, image, *requirements, *project, *_files(lock, manifest)],
            },
            "runDetails": {"builder": {"id": origin.builder, "version": {"sagepack": __version__}}},
        },
    }


def text(document: dict[str, Any]) -> bytes:
    """The document as it is published, and signed."""
    return json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"


def _files(lock: Lock, manifest: Manifest) -> list[dict[str, Any]]:
    """Every file of the package: those of the model with their address at the Hub, the others by their path in the package."""
    of_model = {file.path for file in lock.files} if lock.revision else set()
    found = []
    for member in manifest.members:
        address = {}
        if lock.revision and member.path in of_model:
            address = {"uri": f"hf://models/{lock.revision.repo}@{lock.revision.commit}/{quote(member.path)}"}
        found.append({"name": member.path, **address, "digest": {"sha256": member.digest.value}})
    return found


def _project(project: ProjectCommit) -> dict[str, Any]:
    address = {"uri": project.uri} if project.uri else {}
    changed = {} if project.clean else {"annotations": {"modified": True}}
    return {"name": _PROJECT, **address, "digest": {"gitCommit": project.commit}, **changed}


def _model(lock: Lock) -> dict[str, Any]:
    """What the model is, and its digest; a folder has that of the names and digests of its files."""
    if lock.revision is None:
        content = fingerprint({file.path: str(file.digest) for file in lock.files})
        return {"name": _folder_name(str(lock.folder)), "digest": {"sha256": content.value}}
    repo, commit = lock.revision.repo, lock.revision.commit
    location = {"downloadLocation": f"{lock.endpoint}/{repo}"} if lock.endpoint else {}
    return {"uri": f"hf://models/{repo}@{commit}", "digest": {"gitCommit": commit}, **location}


def _parameters(spec: Spec) -> dict[str, Any]:
    """The model as the spec names it, and which of its files it asks for."""
    wanted = {
        "include": list(spec.model.include),
        "exclude": list(spec.model.exclude),
        "variant": spec.model.variant,
    }
    said = {key: value for key, value in wanted.items() if value}
    if spec.model.path is not None:
        return {"path": _folder_name(spec.model.path), **said}
    endpoint = {"endpoint": spec.hub_endpoint} if spec.hub_endpoint else {}
    return {"id": spec.model.id, "revision": spec.model.revision, **endpoint, **said}


def _folder_name(path: str) -> str:
    """A folder's own name: the way to it may name a user of this machine."""
    return PurePosixPath(path).name or "model"


def subject(data: bytes) -> Digest | None:
    """SHA-256 of the `manifest.json` that a provenance is about; None if the document is not a provenance.

    The other fields are not checked: the release record has the digest of the document.
    """
    try:
        return Digest("sha256", decode_json(data, _Statement).subject[0].digest.sha256)
    except MalformedError:
        return None


def requirements(data: bytes) -> tuple[str, ...] | None:
    """The packages that the container installs, as `name==version`; None if the document is not a provenance."""
    build = _build(data)
    if build is None:
        return None
    pins = [each.uri.removeprefix(_PYPI) for each in build.dependencies if each.uri.startswith(_PYPI)]
    return tuple(pin.replace("@", "==") for pin in pins)


def other_files(data: bytes, manifest: Manifest) -> list[str]:
    """The files in which a provenance and a manifest differ, sorted.

    There are none in a document that names no files, as earlier versions of this program wrote it.
    """
    build = _build(data)
    named = (
        Counter((each.name, each.digest["sha256"]) for each in build.dependencies if each.is_file) if build else None
    )
    if not named:
        return []
    wanted = Counter((member.path, member.digest.value) for member in manifest.members)
    return sorted({name for name, _ in (named - wanted) | (wanted - named)})


def origin(data: bytes) -> Origin | None:
    """Who built a package, by its provenance; None if that does not say it, as in a document of an earlier version."""
    try:
        found = decode_json(data, _WithOrigin).predicate
    except MalformedError:
        return None
    project = next((each for each in found.build.dependencies if each.is_project), None)
    if project is None:
        return Origin(found.run.builder.id)
    clean = not project.annotations.get("modified", False)
    return Origin(found.run.builder.id, ProjectCommit(project.digest["gitCommit"], clean, project.uri or None))


def same_build(data: bytes, expected: bytes) -> bool:
    """Whether a provenance tells of the same build as `expected`, whoever made it from whatever commit of the project.

    A document of an earlier version, which names no files, may tell of the same build.
    """
    try:
        found, wanted = (decode_json(each, _Whole) for each in (data, expected))
    except MalformedError:
        return False
    return found.subject == wanted.subject and any(
        _comparable(found) == _comparable(wanted, version) for version in range(_VERSIONS)
    )


def _comparable(document: _Whole, version: int = _VERSIONS - 1) -> dict[str, Any]:
    """A build without what may differ; as a version of this program told of it.

    The first one named neither the files nor the image as asked for, the second one not which files the spec asks for.
    """
    build = document.predicate.build
    kept = [each for each in build.dependencies if not _is_project(each)]
    parameters = build.external
    if version < _VERSIONS - 1:
        parameters = {key: value for key, value in parameters.items() if key != "vendor"}
        if isinstance(model := parameters.get("model"), dict):
            parameters["model"] = {key: value for key, value in model.items() if key not in _CHOICE}
    if version == 0:
        kept = [each for each in kept if "name" not in each or "annotations" in each]
        parameters = {key: value for key, value in parameters.items() if key != "image"}
    return {"type": build.type, "external": parameters, "internal": build.internal, "dependencies": kept}


def _is_project(dependency: dict[str, Any]) -> bool:
    digest = dependency.get("digest")
    return dependency.get("name") == _PROJECT and isinstance(digest, dict) and "gitCommit" in digest


def _build(data: bytes) -> _Build | None:
    try:
        return decode_json(data, _Dependencies).predicate.build
    except MalformedError:
        return None


class _Dependency(Struct):
    uri: Text = ""
    name: Text = ""
    digest: dict[str, str] = {}
    annotations: dict[str, Any] = {}

    @property
    def is_file(self) -> bool:
        """Whether it is a file of the package; a model in a folder has a name too, and annotations."""
        return bool(self.name and "sha256" in self.digest and not self.annotations)

    @property
    def is_project(self) -> bool:
        """Whether it is the commit of the project."""
        return self.name == _PROJECT and "gitCommit" in self.digest


class _Build(Struct):
    dependencies: tuple[_Dependency, ...] = field(name="resolvedDependencies")


class _Predicate(Struct):
    build: _Build = field(name="buildDefinition")


class _Dependencies(Struct):
    predicate: _Predicate


class _Builder(Struct):
    # Earlier versions had a name here, which says nothing of who built.
    id: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9+.-]*:[!-~]+\Z", max_length=1000)]


class _Run(Struct):
    builder: _Builder


class _PredicateWithOrigin(_Predicate):
    run: _Run = field(name="runDetails")


class _WithOrigin(Struct):
    predicate: _PredicateWithOrigin


class _Digests(Struct):
    sha256: Sha256Hex


class _Subject(Struct):
    name: Literal["manifest.json"]
    digest: _Digests


class _Statement(Struct):
    type: Literal["https://in-toto.io/Statement/v1"] = field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = field(name="predicateType")


class _WholeBuild(Struct, forbid_unknown_fields=True):
    type: str = field(name="buildType")
    external: dict[str, Any] = field(name="externalParameters")
    internal: dict[str, Any] = field(name="internalParameters")
    dependencies: list[dict[str, Any]] = field(name="resolvedDependencies")


class _WholePredicate(Struct):
    build: _WholeBuild = field(name="buildDefinition")


class _Whole(_Statement):
    predicate: _WholePredicate
