"""Signatures with a certificate: the chain that a bundle brings, up to a certificate that counts. Pure.

It needs the package `cryptography` (the extra `certificates`). A chain is verified at the time from which the signing certificate
is valid, as the reference implementation of Model Signing does it: a bundle says nothing that proves when it was signed, and a
signature is meant to outlive the certificate. So neither an end of validity nor a revocation is noticed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.package.attest.keys import PublicKey
from sagepack.spec import pem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.x509 import Certificate

_INSTALL = "pip install 'sagepack[certificates]', or name the public key of the signer instead"
# As a message of the library names them (RFC 5280, section 4.2.1).
_EXTENSIONS = {
    "2.5.29.14": "subjectKeyIdentifier",
    "2.5.29.15": "keyUsage",
    "2.5.29.19": "basicConstraints",
    "2.5.29.35": "authorityKeyIdentifier",
}


class ChainError(ValueError):
    """A chain of certificates does not lead to one that counts, or its first one may not sign."""


@dataclass(frozen=True)
class Authority:
    """A certificate that counts: what a certificate below it signs is believed.

    Attributes:
        name: its file, as messages name it.
        der: the certificate.
    """

    name: str
    der: bytes

    @cached_property
    def hint(self) -> str:
        """SHA-256 of the certificate, in hex."""
        return hashlib.sha256(self.der).hexdigest()

    def require_library(self) -> None:
        """Check that the package that verifies certificates is installed.

        Raises:
            UserError: it is not.
        """
        try:
            import cryptography  # noqa: F401, PLC0415 - an extra, and slow to import
        except ImportError as error:
            raise UserError(
                "verifying a certificate needs the package cryptography", where=self.name, fix=_INSTALL
            ) from error

    def signer(self, chain: Sequence[bytes]) -> PublicKey:
        """The key of the first certificate of a chain, which leads to this one; with the chain.

        Args:
            chain: as DER, that of the signer first.

        Raises:
            ChainError: it does not lead here, or the signer's certificate is not one for signatures.
            UserError: the package that verifies certificates is not installed.
        """
        self.require_library()
        from cryptography import x509  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415
        from cryptography.x509 import verification  # noqa: PLC0415

        try:
            root = x509.load_der_x509_certificate(self.der)
            signer, *between = map(x509.load_der_x509_certificate, chain)
            policy = verification.PolicyBuilder().store(verification.Store([root])).time(signer.not_valid_before_utc)
            of_authorities = verification.ExtensionPolicy.webpki_defaults_ca()
            any_signer = verification.ExtensionPolicy.permit_all()
            policy = policy.extension_policies(ca_policy=of_authorities, ee_policy=any_signer)
            policy.build_client_verifier().verify(signer, between)
            if not _signs(signer):
                raise ChainError(
                    "the certificate that signed is not one for signatures (digitalSignature, codeSigning)"
                )
            der = signer.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
            pem.require_curve(pem.Block(pem.PUBLIC, der))
        except verification.VerificationError as error:
            raise ChainError(f"its certificates do not lead to {self.name}: {_reason(error)}") from error
        except pem.KeyFileError as error:
            raise ChainError(f"the certificate that signed is not of use: it {error}") from error
        except ValueError as error:  # what is no certificate
            raise ChainError(str(error)) from error
        return replace(PublicKey.of_der(self.name, der), chain=tuple(chain))


def _reason(error: Exception) -> str:
    """Why a chain does not lead to an authority, in the words of the library without those that say only that it does not."""
    text = str(error).removeprefix("validation failed: ").rpartition("candidates exhausted: ")[2]
    if "no interior errors" in text:
        return "it has issued none of them"
    for oid, name in _EXTENSIONS.items():
        text = text.replace(oid, name)
    return text


def _signs(certificate: Certificate) -> bool:
    """Whether a certificate is one for signatures, by one of its two extensions about that."""
    from cryptography import x509  # noqa: PLC0415 - as above
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    found = {type(extension.value): extension.value for extension in certificate.extensions}
    usage, extended = found.get(x509.KeyUsage), found.get(x509.ExtendedKeyUsage)
    if isinstance(usage, x509.KeyUsage) and usage.digital_signature:
        return True
    return isinstance(extended, x509.ExtendedKeyUsage) and ExtendedKeyUsageOID.CODE_SIGNING in extended
