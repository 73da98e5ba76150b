"""Chains of certificates for tests: a root, an authority below it, and a signer below that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sagepack.package.attest.keys import PrivateKey

_DER, _PEM = serialization.Encoding.DER, serialization.Encoding.PEM
Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
THEN = datetime(2025, 1, 1, tzinfo=timezone.utc)


@dataclass(frozen=True)
class Certified:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: Key

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(_DER)

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(_PEM)

    @property
    def private_pem(self) -> bytes:
        form = serialization.PrivateFormat.PKCS8
        return self.key.private_bytes(_PEM, form, serialization.NoEncryption())

    @property
    def signer(self) -> PrivateKey:
        return PrivateKey.read("key.pem", self.private_pem)

    def issue(
        self, name: str, *, authority: bool = False, usage: str = "sign", days: int = 30, key: Key | None = None
    ) -> Certified:
        """A certificate below this one."""
        return _issue(name, self, key, authority=authority, usage=usage, days=days)

    def certify(self, name: str, public: bytes) -> bytes:
        """A certificate of a key that somebody else has (SubjectPublicKeyInfo), as PEM."""
        key = serialization.load_der_public_key(public)
        assert isinstance(key, ec.EllipticCurvePublicKey)
        return _certificate(name, key, self, authority=False, usage="sign", days=36_500).public_bytes(_PEM)


def root(name: str, key: Key | None = None) -> Certified:
    """A certificate that signs itself."""
    return _issue(name, None, key, authority=True, usage="sign", days=3650)


def p384() -> Key:
    """A key of the other curve."""
    return ec.generate_private_key(ec.SECP384R1())


def rsa2048() -> Key:
    """A key that many authorities have, and that no signer may."""
    return rsa.generate_private_key(65537, 2048)


def _issue(
    name: str, issuer: Certified | None, key: Key | None, *, authority: bool, usage: str, days: int
) -> Certified:
    key = key or ec.generate_private_key(ec.SECP256R1())
    own = issuer or key
    return Certified(_certificate(name, key.public_key(), own, authority=authority, usage=usage, days=days), key)


def _certificate(
    name: str,
    public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    by: Certified | Key,
    *,
    authority: bool,
    usage: str,
    days: int,
) -> x509.Certificate:
    issuer = by if isinstance(by, Certified) else None
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issued_by = issuer.certificate.subject if issuer else subject
    signs = usage == "sign"
    builder = (
        x509.CertificateBuilder(issued_by, subject, public, x509.random_serial_number())
        .not_valid_before(THEN)
        .not_valid_after(THEN + timedelta(days=days))
        .add_extension(x509.BasicConstraints(authority, None), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=signs and not authority,
                content_commitment=False,
                key_encipherment=not signs,
                data_encipherment=False,
                key_agreement=False,
                key_cert_sign=authority,
                crl_sign=authority,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )
    if issuer is not None:
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(identifier, critical=False)
    if not authority:
        kind = ExtendedKeyUsageOID.CODE_SIGNING if signs else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(x509.ExtendedKeyUsage([kind]), critical=False)
    return builder.sign(by.key if isinstance(by, Certified) else by, hashes.SHA256())
