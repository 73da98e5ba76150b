"""The signatures beside a package: of its files, of what S3 holds of it, and of how it was made. Pure.

    model.sig                   OpenSSF Model Signing: the path and the SHA-256 of every file (`package.attest.oms`)
    release.sig                 the release record, with the ETag, version and checksums that S3 gave when the package was published, and the
                                SHA-256 of every document and of the other two signatures beside it
    provenance.sigstore.json    the bytes of `provenance.json`

The first is for whoever has the files. The second binds the object in S3 to them: the signer had hashed every byte of it, and as
long as S3 says that the object has the ETag that was signed, nobody has replaced it. The third says nothing that the second does not
vouch for: it is in the form that tools for provenance read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta, Struct, field

from sagepack.decoding import Sha256Hex
from sagepack.digest import Digest
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.publish.release import ReleaseDocument

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.aws.s3 import S3Uri
    from sagepack.package.attest.dsse import Signer, Verifier
    from sagepack.package.attest.keyless import Identity
    from sagepack.package.attest.keys import PublicKey
    from sagepack.package.manifest import Manifest
    from sagepack.publish.keys import Package
    from sagepack.publish.release import Release

PREDICATE_TYPE = "urn:x-sagepack:release:v1"


@dataclass(frozen=True)
class SignedRelease:
    """A release that somebody vouches for.

    Attributes:
        release: as it was signed.
        key: that signed it.
        signed: when, UTC, as the signer says.
        signatures: SHA-256 of the other two signatures, by file name; none where an earlier version of this program signed.
    """

    release: Release
    key: PublicKey | Identity
    signed: datetime
    signatures: Mapping[str, Digest]

    @property
    def by(self) -> str:
        """Who signed, and when, as the end of a sentence about what."""
        return f"{self.key.name} signed on {self.signed:%Y-%m-%d %H:%M} UTC"

    @property
    def beside(self) -> dict[str, Digest]:
        """SHA-256 of everything beside the model that is bound by this, by file name."""
        return {**self.release.documents, **self.signatures}


def sign(
    package: Package, manifest: Manifest, release: Release, provenance: bytes, signer: Signer, now: datetime
) -> dict[S3Uri, bytes]:
    """All signatures of a package. Whoever calls this knows that S3 holds the bytes of the manifest.

    Args:
        package: its keys.
        manifest: its files.
        release: what S3 holds.
        provenance: the document beside the package.
        signer: signs.
        now: the time (UTC).

    Raises:
        UserError, RemoteError: the key cannot be used.
    """
    about = Digest.sha256(manifest.text().encode())
    others = {
        package.files_signature_uri: dsse.signed(oms.statement(package.name, manifest), signer),
        package.provenance_signature_uri: dsse.signed_text(provenance, signer),
    }
    said = {
        "signed": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "release": release.document(),
        "signatures": {uri.key.rpartition("/")[2]: Digest.sha256(data).value for uri, data in others.items()},
    }
    statement = dsse.statement("manifest.json", about.value, PREDICATE_TYPE, said)
    return {**others, package.release_signature_uri: dsse.signed(statement, signer)}


def signed_release(data: bytes, keys: Sequence[Verifier]) -> SignedRelease:
    """What a `release.sig` says.

    Args:
        data: the bundle.
        keys: those that count.

    Raises:
        SignatureError: it does not count.
    """
    found, key = dsse.opened(data, keys, _Statement)
    release = found.predicate.release.value
    if found.subject[0].digest.sha256 != release.documents["manifest.json"].value:
        raise SignatureError("it contradicts itself: its subject is not the manifest of its release")
    others = {str(name): Digest("sha256", value) for name, value in found.predicate.signatures.items()}
    return SignedRelease(release, key, found.predicate.signed.astimezone(timezone.utc), others)


def known_release(data: bytes | None, keys: Sequence[Verifier]) -> SignedRelease | None:
    """What a `release.sig` says; None if there is none, or it does not count. As `signed_release` otherwise."""
    try:
        return signed_release(data or b"", keys)
    except SignatureError:
        return None


class _Digests(Struct, forbid_unknown_fields=True):
    sha256: Sha256Hex


class _Subject(Struct, forbid_unknown_fields=True):
    name: Literal["manifest.json"]
    digest: _Digests


class _Predicate(Struct, forbid_unknown_fields=True):
    signed: Annotated[datetime, Meta(tz=True)]
    release: ReleaseDocument
    signatures: dict[Literal["model.sig", "provenance.sigstore.json"], Sha256Hex] = field(default_factory=dict)


class _Statement(Struct, forbid_unknown_fields=True):
    type: Literal["https://in-toto.io/Statement/v1"] = field(name="_type")
    subject: Annotated[tuple[_Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["urn:x-sagepack:release:v1"] = field(name="predicateType")
    predicate: _Predicate
