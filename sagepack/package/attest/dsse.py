"""Signed statements: an in-toto statement in a DSSE envelope in a Sigstore bundle, which other tools read. Pure.

    bundle      what a `.sig` file is (Sigstore, bundle 0.3): who signed, and the envelope
    envelope    DSSE v1: the statement as base64, and one signature over its bytes and their type
    statement   in-toto v1: what it is about (`subject`), and what is said of it (`predicate`)

A bundle from outside is a claim. `opened` gives its statement only if a key that counts has signed these very bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias, TypeVar

from msgspec import Meta, Struct, field

from sagepack.decoding import MalformedError, Sha256Hex, decode_json
from sagepack.package.attest.certificates import Authority, ChainError
from sagepack.package.attest.keyless import Identity, KeylessError
from sagepack.package.attest.keyless_signer import KeylessSigner
from sagepack.package.attest.keys import KeySigner, PublicKey
from sagepack.spec.pem import KeyFileError

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
LIMIT = 64 << 20  # bytes; the provenance of a package of 50,000 files has 30 MB when it is signed
_SHOWN = 16  # hex digits of a hint

# Whose signatures count, and who signs.
Verifier: TypeAlias = PublicKey | Authority | Identity
Signer: TypeAlias = KeySigner | KeylessSigner
_Statement = TypeVar("_Statement")


class SignatureError(ValueError):
    """A signature does not count; the message continues the name of its file.

    Attributes:
        unreadable: it is no signature at all: damaged, or of another program.
    """

    def __init__(self, message: str, *, unreadable: bool = False) -> None:
        super().__init__(message)
        self.unreadable = unreadable


def statement(subject: str, sha256: str, predicate_type: str, predicate: dict[str, Any]) -> dict[str, Any]:
    """An in-toto statement about one thing with a SHA-256."""
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": subject, "digest": {"sha256": sha256}}],
        "predicateType": predicate_type,
        "predicate": predicate,
    }


def signed(document: dict[str, Any], signer: Signer) -> bytes:
    """A statement as a bundle that `signer` has signed; other bytes each time, since ECDSA takes a random number.

    Raises:
        UserError, RemoteError: the signer cannot be used.
    """
    return signed_text(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(), signer)


def signed_text(payload: bytes, signer: Signer) -> bytes:
    """The same of a statement that is a document already: these bytes are signed."""
    if isinstance(signer, KeylessSigner):
        return signer.bundle(payload)
    signature = signer.sign(pae(payload))
    bundle = {
        "mediaType": MEDIA_TYPE,
        "verificationMaterial": {**_names(signer.public), "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle, separators=(",", ":")).encode() + b"\n"


def _names(key: PublicKey) -> dict[str, Any]:
    """How a bundle names the key that signed it: by its certificates, or by its hint."""
    if not key.chain:
        return {"publicKey": {"hint": key.hint}}
    certificates = [{"rawBytes": base64.b64encode(each).decode()} for each in key.chain]
    return {"x509CertificateChain": {"certificates": certificates}}


def require_counts(key: PublicKey, keys: Sequence[Verifier]) -> None:
    """Check that what a key signs would count.

    Raises:
        SignatureError: it would not.
        UserError: the package that verifies certificates is not installed.
    """
    if key.chain:
        _certified(key.chain, keys)
    else:
        _known(key.hint, keys)


def pae(payload: bytes) -> bytes:
    """The bytes that a signature of DSSE v1 is over: the "pre-authentication encoding" of type and payload."""
    return b"DSSEv1 %d %b %d %b" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def opened(data: bytes, keys: Sequence[Verifier], kind: type[_Statement]) -> tuple[_Statement, PublicKey | Identity]:
    """The statement of a bundle, and which of `keys` signed it.

    Args:
        data: the bundle.
        keys: those that count; of a certificate, the keys of certificates below it.
        kind: what the statement must be.

    Raises:
        SignatureError: it is no bundle, none of the keys signed it, or it is not such a statement.
        UserError: a package that verifies certificates, or keyless signatures, is not installed.
    """
    payload, key = opened_text(data, keys)
    try:
        return decode_json(payload, kind, limit=LIMIT), key
    except MalformedError as error:
        raise SignatureError(f"{key.name} signed another kind of statement: {error}") from error


def opened_text(data: bytes, keys: Sequence[Verifier]) -> tuple[bytes, PublicKey | Identity]:
    """The bytes that were signed, whatever they say, and which of `keys` signed them.

    Raises:
        SignatureError: it is no bundle, or none of the keys signed it.
        UserError: a package that verifies certificates, or keyless signatures, is not installed.
    """
    bundle = _read(data)
    if bundle.material.certificate is not None:
        return _keyless(data, keys)
    payload, key = _decoded(bundle.envelope.payload), _key(bundle.material, keys)
    if not key.verifies(pae(payload), _decoded(bundle.envelope.signatures[0].sig)):
        raise SignatureError(f"what it says was changed after it was signed: it does not verify with {key.name}")
    return payload, key


def _keyless(data: bytes, keys: Sequence[Verifier]) -> tuple[bytes, Identity]:
    """What a keyless signature says, and which identity that counts signed it.

    Raises:
        SignatureError: none did.
        UserError: the package that verifies such signatures is not installed.
    """
    problems = []
    for identity in (key for key in keys if isinstance(key, Identity)):
        found = _said(identity, data)
        if isinstance(found, bytes):
            return found, identity
        problems.append(found)
    names = ", ".join(key.name for key in keys)
    raise SignatureError("; ".join(problems) or f"it is a keyless signature of Sigstore, and only these count: {names}")


def _said(identity: Identity, data: bytes) -> bytes | str:
    """What a bundle of an identity says; or why it is not one of it."""
    try:
        return identity.payload(data)
    except KeylessError as error:
        return str(error)


def _key(material: _Material, keys: Sequence[Verifier]) -> PublicKey:
    """The key that counts and that a bundle names.

    Raises:
        SignatureError: there is none.
        UserError: the package that verifies certificates is not installed.
    """
    if material.public_key is not None:
        hint = material.public_key.hint or hashlib.sha256(_decoded(material.public_key.raw or "")).hexdigest()
        return _known(hint, keys)
    return _certified([_decoded(each.raw) for each in material.chain.certificates] if material.chain else [], keys)


def _known(hint: str, keys: Sequence[Verifier]) -> PublicKey:
    """The key with a hint. As `_key` otherwise."""
    found = next((key for key in keys if isinstance(key, PublicKey) and not key.chain and key.hint == hint), None)
    if found is None:
        names = ", ".join(key.name for key in keys)
        raise SignatureError(f"it is signed by the key {hint[:_SHOWN]}..., which is none of those that count: {names}")
    return found


def _certified(chain: Sequence[bytes], keys: Sequence[Verifier]) -> PublicKey:
    """The key of the first certificate of a chain that counts: the very chain of one's own, or one to an authority. As `_key` otherwise."""
    own = next((key for key in keys if isinstance(key, PublicKey) and key.chain == tuple(chain)), None)
    if own is not None and chain:
        return own
    tried = [_signer(key, chain) for key in keys if isinstance(key, Authority)]
    signer = next((each for each in tried if isinstance(each, PublicKey)), None)
    if signer is None:
        raise SignatureError(
            "; ".join(map(str, tried))
            or f"it is signed with a certificate, and only these count: {', '.join(key.name for key in keys)}"
        )
    return signer


def _signer(authority: Authority, chain: Sequence[bytes]) -> PublicKey | str:
    """The key of the first certificate of a chain that leads to `authority`; or why there is none."""
    try:
        return authority.signer(chain)
    except (ChainError, KeyFileError) as error:
        return str(error)


def _read(data: bytes) -> _Bundle:
    try:
        return decode_json(data, _Bundle, limit=LIMIT)
    except MalformedError as error:
        raise SignatureError(f"it is no signature that this program can verify: {error}", unreadable=True) from error


def _decoded(text: str) -> bytes:
    """The bytes of base64, of which there is exactly one text: no bit of a bundle can be changed unseen."""
    try:
        data = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise SignatureError(f"it is damaged: {error}", unreadable=True) from error
    if base64.b64encode(data).decode() != text:
        raise SignatureError("it is damaged: its base64 has bits that mean nothing", unreadable=True)
    return data


class _PublicKey(Struct, forbid_unknown_fields=True):
    hint: Sha256Hex | None = None
    # The PEM text itself, as base64: so the library of Model Signing wrote it before 1.1.
    raw: Annotated[str, Meta(max_length=1024)] | None = field(name="rawBytes", default=None)
    details: Annotated[str, Meta(max_length=100)] | int | None = field(name="keyDetails", default=None)

    def __post_init__(self) -> None:
        if (self.hint is None) is (self.raw is None):
            raise ValueError("it has a hint, or the key")


class _Certificate(Struct, forbid_unknown_fields=True):
    raw: Annotated[str, Meta(max_length=64 << 10)] = field(name="rawBytes")


class _Chain(Struct, forbid_unknown_fields=True):
    certificates: Annotated[tuple[_Certificate, ...], Meta(min_length=1, max_length=10)]


class _Material(Struct, forbid_unknown_fields=True):
    """Who signed.

    Attributes:
        public_key: by a key.
        chain: by a certificate, and those between it and one that counts.
        certificate: keyless, by a certificate of Sigstore.
        log_entries, timestamps: of a signature without a key; others have none.
    """

    public_key: _PublicKey | None = field(name="publicKey", default=None)
    chain: _Chain | None = field(name="x509CertificateChain", default=None)
    certificate: Any = None
    log_entries: tuple[Any, ...] = field(name="tlogEntries", default=())
    timestamps: Any = field(name="timestampVerificationData", default=None)

    def __post_init__(self) -> None:
        if [self.public_key, self.chain, self.certificate].count(None) != 2:
            raise ValueError("it names a key, the certificates of one, or a certificate of Sigstore")
        if self.certificate is None and (self.log_entries or self.timestamps):
            raise ValueError("only a keyless signature has entries of a log, and timestamps")


class _Signature(Struct, forbid_unknown_fields=True):
    sig: Annotated[str, Meta(max_length=1024)]
    keyid: Literal[""] | None = ""


class _Envelope(Struct, forbid_unknown_fields=True):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"] = field(name="payloadType")
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=1)]


class _Bundle(Struct, forbid_unknown_fields=True):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"] = field(name="mediaType")
    material: _Material = field(name="verificationMaterial")
    envelope: _Envelope = field(name="dsseEnvelope")
