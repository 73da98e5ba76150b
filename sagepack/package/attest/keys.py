"""Keys that sign and that verify: ECDSA over P-256 and P-384, by the AWS common runtime. Pure.

`awscrt` is imported when the first key is used: it takes a tenth of a second, which nobody pays who signs nothing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from sagepack.spec import pem
from sagepack.spec.pem import KeyFileError

# Bytes of a coordinate -> the hash that belongs to the curve (FIPS 186-5; AWS KMS and Model Signing take no other).
_HASHES = {32: hashlib.sha256, 48: hashlib.sha384}


class KeySigner(Protocol):
    """Whoever can sign with a key."""

    @property
    def public(self) -> PublicKey:
        """The key that verifies what this one signs."""

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature of the message, as DER; another one each time."""


@dataclass(frozen=True)
class PublicKey:
    """A key that verifies.

    Attributes:
        name: as messages name it: its file, or the key of AWS KMS that it belongs to.
        der: SubjectPublicKeyInfo.
        chain: certificates as DER that signatures bring for it, its own first; empty if it counts by itself.
    """

    name: str
    der: bytes
    chain: tuple[bytes, ...] = ()

    @classmethod
    def read(cls, name: str, data: bytes) -> PublicKey:
        """The key of a PEM file.

        Raises:
            KeyFileError: it is no public key of P-256 or P-384.
        """
        return cls.of_der(name, pem.public_key(data))

    @classmethod
    def of_der(cls, name: str, der: bytes) -> PublicKey:
        """The key with these bytes, in the form that every tool writes.

        Raises:
            KeyFileError: it is no public key of P-256 or P-384.
        """
        return cls(name, _exported(_loaded(der)))

    @cached_property
    def hint(self) -> str:
        """SHA-256 of its certificate, or else of its PEM text, which is what a signature says of its key; in hex."""
        return hashlib.sha256(self.chain[0] if self.chain else pem.text(self.der)).hexdigest()

    def require_library(self) -> None:
        """Nothing: every installation has what verifies keys."""

    def digest(self, message: bytes) -> bytes:
        """The hash of a message that is signed."""
        return _HASHES[len(self._key.get_public_coords().x)](message).digest()

    def verifies(self, message: bytes, signature: bytes) -> bool:
        """Whether a signature is of this key, over this message."""
        return bool(self._key.verify(self.digest(message), signature))

    @cached_property
    def _key(self) -> Any:
        return _loaded(self.der)


@dataclass(frozen=True)
class PrivateKey:
    """A key that signs, in the memory of this process.

    Attributes:
        public: the key that verifies.
    """

    public: PublicKey
    _key: Any

    @classmethod
    def read(cls, name: str, data: bytes) -> PrivateKey:
        """The key of a PEM file.

        Raises:
            KeyFileError: it is no private key of P-256 or P-384, or it is encrypted.
        """
        key = _loaded(pem.private_key(data))
        return cls(PublicKey(name, _exported(key)), key)

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature of the message, as DER."""
        return bytes(self._key.sign(self.public.digest(message)))


@dataclass(frozen=True)
class CertifiedSigner:
    """A key that signs with certificates.

    Attributes:
        public: the key that verifies, with its chain.
        signer: whoever has the private key.
    """

    public: PublicKey
    signer: KeySigner

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature of the message, as DER."""
        return self.signer.sign(message)


def _loaded(der: bytes) -> Any:
    from awscrt import crypto  # noqa: PLC0415 - it takes a tenth of a second to import

    try:
        key = crypto.EC.new_key_from_der_data(der)
        size = len(key.get_public_coords().x)
    except (RuntimeError, ValueError):
        size = -1
    if size == 0:
        fix = "`openssl ec -in key.pem -out whole.pem` adds it"
        raise KeyFileError("is a private key without its public part", fix)
    if size not in _HASHES:
        fix = "`openssl ec -in key.pem -param_enc named_curve -conv_form uncompressed -out whole.pem` writes it in the usual form"
        raise KeyFileError("is damaged, or written in an unusual form", fix)
    return key


def _exported(key: Any) -> bytes:
    from awscrt import crypto  # noqa: PLC0415 - as above

    return bytes(key.export_key(crypto.ECExportFormat.SPKI))
