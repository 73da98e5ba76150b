"""The bill of materials of a package: CycloneDX, which other tools read. Pure.

Written as a document of its own, since no library writes a model card. It lists what is in the package and what the container
installs; what the image holds already, its own scanners list. The same package has the same bytes: there is no time in it, and the
serial number follows from the rest.
"""

from __future__ import annotations

import json
import re
import uuid
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from msgspec import Struct

from sagepack.decoding import MalformedError, decode_json
from sagepack.digest import Digest
from sagepack.package.requirements import listing
from sagepack.spec.licenses import SPDX
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.package.license import License
    from sagepack.package.lock import Lock, LockedPackage
    from sagepack.package.manifest import Manifest, Member
    from sagepack.spec.model import Spec

HUB = "https://huggingface.co"
_MANIFEST = "sagepack:manifest"
_OPERATORS = ("AND", "OR")  # of SPDX's expressions; with an exception (WITH) one is taken as words
_PACKAGE, _MODEL, _CODE, _IMAGE = "package", "model", "code", "image"


def document(spec: Spec, lock: Lock, manifest: Manifest, spec_version: str = "1.6") -> dict[str, Any]:
    """The bill of materials; equal for equal packages.

    Args:
        spec: what the package is called, and what its model is for.
        lock: where everything comes from.
        manifest: its files.
        spec_version: of CycloneDX: 1.6, which most tools read, or 1.7.
    """
    libraries = [
        _library(package, manifest, vendored=spec.code.vendor)
        for package in listing.installed(lock, vendored=spec.code.vendor)
    ]
    parts = [_model(spec, lock), _code(spec, lock, manifest), _image(lock), *libraries]
    refs = [part["bom-ref"] for part in parts]
    body = {
        "metadata": {
            "lifecycles": [{"phase": "build"}],
            "tools": {"components": [{"type": "application", "name": "sagepack", "version": __version__}]},
            "component": {
                "type": "application",
                "bom-ref": _PACKAGE,
                "name": spec.name,
                "version": manifest.digest.short,
                "properties": [{"name": _MANIFEST, "value": str(manifest.digest)}],
            },
        },
        "components": parts,
        "dependencies": [
            {"ref": _PACKAGE, "dependsOn": refs},
            {"ref": _CODE, "dependsOn": [ref for ref in refs if ref != _CODE]},
            # Nothing is said of what image and libraries need themselves: an entry without more would say that it is nothing.
            {"ref": _MODEL},
        ],
        # What is inside the image is not told here.
        "compositions": [{"aggregate": "unknown", "assemblies": [_IMAGE]}],
    }
    # Schemas of CycloneDX have addresses with http.
    head = {"$schema": f"http://cyclonedx.org/schema/bom-{spec_version}.schema.json", "bomFormat": "CycloneDX"}
    content = Digest.sha256(text({**head, **body}))
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"urn:x-sagepack:sbom:{content}")
    return {**head, "specVersion": spec_version, "serialNumber": f"urn:uuid:{serial}", "version": 1, **body}


def text(bill: dict[str, Any]) -> bytes:
    """The document as it is published."""
    return json.dumps(bill, indent=1, ensure_ascii=False).encode() + b"\n"


def subject(data: bytes) -> str | None:
    """Digest of the manifest that a bill of materials is of; None if the document is no such bill."""
    try:
        properties = decode_json(data, _Bill).metadata.component.properties
    except MalformedError:
        return None
    return next((each.value for each in properties if each.name == _MANIFEST), None)


def same_contents(data: bytes, expected: bytes) -> bool:
    """Whether a bill lists the same as `expected`; another version of this program may have made it."""
    try:
        found, wanted = (decode_json(each, dict[str, Any]) for each in (data, expected))
        return _comparable(found) == _comparable(wanted)
    except (MalformedError, AttributeError):
        return False


def _comparable(bill: dict[str, Any]) -> dict[str, Any]:
    about = {key: value for key, value in bill.get("metadata", {}).items() if key != "tools"}
    return {**{key: value for key, value in bill.items() if key != "serialNumber"}, "metadata": about}


def _model(spec: Spec, lock: Lock) -> dict[str, Any]:
    """The model and its files, with what its card says of it."""
    task = lock.task or spec.environment.get("HF_TASK")
    gated = [{"name": "huggingface:gated", "value": lock.gated}] if lock.gated else []
    card = {
        **({"modelParameters": {"task": task}} if task else {}),
        **({"properties": gated} if gated else {}),
    }
    return {
        "type": "machine-learning-model",
        "bom-ref": _MODEL,
        **_model_names(lock),
        **({"licenses": _licenses(lock.license, lock)} if lock.license else {}),
        "modelCard": card,
        "components": [_file(file.path, file.digest, file.size) for file in lock.files],
    }


def _model_names(lock: Lock) -> dict[str, Any]:
    """What the model is called, and where it is; for one in a folder the folder's own name, since the way to it may name a user."""
    if lock.revision is None:
        return {"name": PurePosixPath(str(lock.folder)).name or "model"}
    repo, commit = lock.revision.repo, lock.revision.commit
    owner, _, name = repo.partition("/")
    where = f"?repository_url={quote(lock.endpoint, safe=':/')}" if lock.endpoint else ""
    return {
        "group": owner,
        "name": name,
        "version": commit,
        "purl": f"pkg:huggingface/{owner}/{name}@{commit}{where}",
        "externalReferences": [{"type": "distribution", "url": f"{lock.endpoint or HUB}/{repo}/tree/{commit}"}],
    }


def _licenses(found: License, lock: Lock) -> list[dict[str, Any]]:
    """A licence as SPDX names it, or else as the card does. Nobody has checked that the card is right."""
    address, named = _license_address(found.link, lock), []
    for word, name in zip(found.ids, found.names, strict=True):
        known = SPDX.get(word.lower())
        called = {"id": known} if known else {"name": name}
        # Of several licences the card links the one that the Hub has no word for.
        link = address if word == "other" or len(found.ids) == 1 else {}
        named.append({"license": {**called, "acknowledgement": "declared", **link}})
    return named


def _license_address(link: str | None, lock: Lock) -> dict[str, str]:
    """Where the text of a licence is: a card names an address, or a file of its repository."""
    if not link:
        return {}
    if link.startswith(("https://", "http://")):
        return {"url": quote(link, safe="%/:?#[]@!$&'()*+,;=")}
    if lock.revision is None:
        return {}
    return {"url": f"{lock.endpoint or HUB}/{lock.revision.repo}/blob/{lock.revision.commit}/{quote(link)}"}


def _code(spec: Spec, lock: Lock, manifest: Manifest) -> dict[str, Any]:
    """The inference code: whatever is in the package and neither the model nor a wheel."""
    others = {file.path for file in lock.files} | (set(listing.wheels(lock)) if spec.code.vendor else set())
    return {
        "type": "application",
        "bom-ref": _CODE,
        "name": f"{spec.name} inference code",
        "components": _files(member for member in manifest.members if member.path not in others),
    }


def _image(lock: Lock) -> dict[str, Any]:
    """The image of the container (purl-spec, type `oci`: the name is the last part of the repository's path)."""
    repository, _, tag = lock.image.partition(":")
    place = f"{lock.image_registry}/{repository}"
    name, digest = repository.rpartition("/")[2], lock.image_digest.value
    return {
        "type": "container",
        "bom-ref": _IMAGE,
        "name": place,
        "version": tag,
        "hashes": [_hash(lock.image_digest)],
        "purl": f"pkg:oci/{name}@sha256%3A{digest}?repository_url={place}&tag={quote(tag, safe='')}",
    }


def _library(package: LockedPackage, manifest: Manifest, *, vendored: bool) -> dict[str, Any]:
    """A package that the container installs; its hash is that of the wheel, which is a file of the package if it is vendored."""
    path = f"{listing.WHEELS}{package.file}"
    wheel = _files(member for member in manifest.members if member.path == path) if vendored else []
    return {
        "type": "library",
        "bom-ref": f"pypi:{package.name}",
        "name": package.name,
        "version": package.version,
        "hashes": [_hash(package.digest)],
        **({"licenses": [_library_license(package.license)]} if package.license else {}),
        "purl": f"pkg:pypi/{package.name}@{quote(package.version, safe='')}",
        **({"components": wheel} if wheel else {}),
    }


def _library_license(declared: str) -> dict[str, Any]:
    """A licence as a wheel declares it: an identifier of SPDX, an expression of several, or words."""
    known = SPDX.get(declared.lower())
    if known:
        return {"license": {"id": known, "acknowledgement": "declared"}}
    words = re.sub(r"[()]", " ", declared).split()
    if len(words) > 1 and all(word in _OPERATORS or word.lower() in SPDX for word in words):
        return {"expression": declared, "acknowledgement": "declared"}
    return {"license": {"name": declared, "acknowledgement": "declared"}}


def _files(members: Iterable[Member]) -> list[dict[str, Any]]:
    return [_file(member.path, member.digest, member.size) for member in members]


def _file(path: str, digest: Digest, size: int) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"file:{path}",
        "name": path,
        "hashes": [_hash(digest)],
        "properties": [{"name": "sagepack:size", "value": str(size)}],
    }


def _hash(digest: Digest) -> dict[str, str]:
    return {"alg": "SHA-256", "content": digest.value}


class _Property(Struct):
    name: str
    value: str


class _Component(Struct):
    properties: tuple[_Property, ...]


class _Metadata(Struct):
    component: _Component


class _Bill(Struct):
    metadata: _Metadata
