"""The provenance of a package: an in-toto statement with SLSA provenance v1, which other tools can read."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, field

from sagepack.decoding import MalformedError, Sha256Hex, Text, decode_json
from sagepack.digest import Digest, fingerprint
from sagepack.package.requirements import listing
from sagepack.version import __version__

if TYPE_CHECKING:
    from sagepack.package.lock import Lock
    from sagepack.package.manifest import Manifest
    from sagepack.spec.model import Spec

_PYPI = "pkg:pypi/"
BUILD_TYPE = "urn:x-sagepack:package:v1"


def statement(spec: Spec, lock: Lock, manifest: Manifest) -> dict[str, Any]:
    """The document that `schemas/provenance.schema.json` describes; equal for equal packages.

    It contains no time, which the release record has, and no account or environment variable, since whoever may read the
    package need not know them.
    """
    model = {**_model(lock), "annotations": {"files": len(lock.files), "bytes": lock.size}}
    image = {"uri": f"docker://{lock.image_registry}/{lock.image}", "digest": {"sha256": lock.image_digest.value}}
    requirements = [
        {"uri": f"{_PYPI}{package.name}@{package.version}", "digest": {"sha256": package.digest.value}}
        for package in listing.installed(lock, vendored=spec.code.vendor)
    ]
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
                    "requirements": list(spec.code.requirements),
                },
                "internalParameters": {"archiveFormat": lock.archive_format, "manifest": str(manifest.digest)},
                "resolvedDependencies": [model, image, *requirements],
            },
            "runDetails": {"builder": {"id": "sagepack", "version": {"sagepack": __version__}}},
        },
    }


def _model(lock: Lock) -> dict[str, Any]:
    """What the model is, and its digest; a folder has that of the names and digests of its files."""
    if lock.revision is None:
        content = fingerprint({file.path: str(file.digest) for file in lock.files})
        return {"name": _folder_name(str(lock.folder)), "digest": {"sha256": content.value}}
    repo, commit = lock.revision.repo, lock.revision.commit
    location = {"downloadLocation": f"{lock.endpoint}/{repo}"} if lock.endpoint else {}
    return {"uri": f"hf://models/{repo}@{commit}", "digest": {"gitCommit": commit}, **location}


def _parameters(spec: Spec) -> dict[str, Any]:
    """The model as the spec names it."""
    if spec.model.path is not None:
        return {"path": _folder_name(spec.model.path)}
    endpoint = {"endpoint": spec.hub_endpoint} if spec.hub_endpoint else {}
    return {"id": spec.model.id, "revision": spec.model.revision, **endpoint}


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
    try:
        dependencies = decode_json(data, _Requirements).predicate.build.dependencies
    except MalformedError:
        return None
    pins = [each.uri.removeprefix(_PYPI) for each in dependencies if each.uri.startswith(_PYPI)]
    return tuple(pin.replace("@", "==") for pin in pins)


class _Dependency(Struct):
    uri: Text = ""


class _Build(Struct):
    dependencies: tuple[_Dependency, ...] = field(name="resolvedDependencies")


class _Predicate(Struct):
    build: _Build = field(name="buildDefinition")


class _Requirements(Struct):
    predicate: _Predicate


class _Digests(Struct):
    sha256: Sha256Hex


class _Subject(Struct):
    name: Literal["manifest.json"]
    digest: _Digests


class _Statement(Struct):
    type: Literal["https://in-toto.io/Statement/v1"] = field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://slsa.dev/provenance/v1"] = field(name="predicateType")
