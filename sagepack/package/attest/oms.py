"""A signature of the files of a package: OpenSSF Model Signing 1.0, which any verifier of that specification reads. Pure.

Everything that is signed follows from the manifest, so no file is read, whatever a model weighs. The executable bit of a file is
in no such signature; the release statement signs the digest of the manifest, which has it.
"""

from __future__ import annotations

import hashlib
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct, field

from sagepack.decoding import PathText, Sha256Hex, Text
from sagepack.package.attest import dsse
from sagepack.package.attest.dsse import SignatureError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.attest.keyless import Identity
    from sagepack.package.attest.keys import PublicKey
    from sagepack.package.manifest import Manifest

PREDICATE_TYPE = "https://model_signing/signature/v1.0"


def statement(name: str, manifest: Manifest) -> dict[str, Any]:
    """The statement that a signature of a package's files is over.

    The files are in the order of `PurePosixPath`, which compares folder by folder: `a/x` comes before `a-b`. The subject is the
    SHA-256 of their digests in this order.

    Args:
        name: of the model.
        manifest: the files.
    """
    files = sorted(manifest.members, key=lambda member: PurePosixPath(member.path))
    return dsse.statement(
        name,
        _root(file.digest.value for file in files),
        PREDICATE_TYPE,
        {
            "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
            "resources": [{"name": file.path, "algorithm": "sha256", "digest": file.digest.value} for file in files],
        },
    )


def signed_files(data: bytes, keys: Sequence[Verifier]) -> tuple[dict[str, str], PublicKey | Identity]:
    """What a signature says of files: SHA-256 in hex by path; and which of `keys` signed it.

    Args:
        data: the bundle, of this program or another one.
        keys: those that count: keys, certificates, or identities of Sigstore.

    Raises:
        SignatureError: it does not count, or the digests in it are not of whole files.
    """
    found, key = dsse.opened(data, keys, _Statement)
    if found.subject[0].digest.sha256 != _root(each.digest for each in found.predicate.resources):
        raise SignatureError("it contradicts itself: the digest of its subject is not that of its files")
    files = {each.name: each.digest for each in found.predicate.resources}
    if len(files) != len(found.predicate.resources):
        raise SignatureError("it names a file twice")
    return files, key


def differences(signed: Mapping[str, str], files: Mapping[str, str], *, more_signed: bool = False) -> list[str]:
    """In what signed files and others differ, one line each, in the order of their paths.

    Args:
        signed: SHA-256 by path.
        files: the same of what should be signed.
        more_signed: the signature may have more files.
    """
    found = []
    for path in sorted(signed.keys() | files.keys()):
        mine, theirs = files.get(path), signed.get(path)
        if theirs is None:
            found.append(f"{path} is not signed")
        elif mine is None:
            found += [] if more_signed else [f"{path} is signed, and is not here"]
        elif mine != theirs:
            found.append(f"{path} has sha256:{mine}, signed is sha256:{theirs}")
    return found


def _root(digests: Any) -> str:
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


class _Resource(Struct):
    name: PathText
    algorithm: Literal["sha256"]
    digest: Sha256Hex


class _Serialization(Struct):
    # `shards` has digests of pieces, and other hashes need the bytes: neither can be compared without reading the files.
    method: Literal["files"]
    hash_type: Literal["sha256"]


class _Predicate(Struct):
    serialization: _Serialization
    resources: tuple[_Resource, ...]


class _Digests(Struct):
    sha256: Sha256Hex


class _Subject(Struct):
    name: Text
    digest: _Digests


class _Statement(Struct):
    type: Literal["https://in-toto.io/Statement/v1"] = field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = field(name="predicateType")
    predicate: _Predicate
