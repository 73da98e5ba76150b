"""The keys that `trust` names: those that count, and the one that signs. Nothing is read before it is needed."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from sagepack.engine import lazy
from sagepack.errors import UserError
from sagepack.spec import sigstore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.aws import kms
    from sagepack.aws.session import Aws
    from sagepack.package.attest import certificates, dsse, keyless, keyless_signer, keys
    from sagepack.package.attest.dsse import Signer, Verifier
    from sagepack.package.attest.keyless_signer import KeylessSigner
    from sagepack.package.attest.keys import KeySigner, PublicKey
    from sagepack.spec import model, pem, x509
else:
    certificates = lazy.module("package.attest.certificates")
    dsse = lazy.module("package.attest.dsse")
    keyless = lazy.module("package.attest.keyless")
    keyless_signer = lazy.module("package.attest.keyless_signer")
    keys = lazy.module("package.attest.keys")
    kms = lazy.module("aws.kms")
    pem = lazy.module("spec.pem")
    x509 = lazy.module("spec.x509")

_Key = TypeVar("_Key")
_SIGN, _CERTIFICATES = "trust.sign", "trust.certificates"
_VARIABLE = "set the variable to the PEM text of the private key, in the shell or job that signs"


@dataclass(frozen=True)
class Trust:
    """Who signs, and whose signatures count.

    Attributes:
        declared: what the spec says.
        root: folder of the project, to which paths are relative.
        connect: gives the session for AWS KMS.
    """

    declared: model.Trust
    root: Path
    connect: Callable[[], Aws]

    @property
    def must_sign(self) -> bool:
        """Whether packages are signed when they are published."""
        return self.declared.sign is not None

    @property
    def must_verify(self) -> bool:
        """Whether a package must be signed before it serves."""
        return bool(self.declared.verify)

    @cached_property
    def keys(self) -> tuple[Verifier, ...]:
        """The keys, certificates and identities that count: those of `verify`, or else the key that signs; none if nothing is signed.

        Who signs without a key and names nobody in `verify` has none: only the login says who it was.

        Raises:
            UserError: one of them cannot be read.
        """
        if self.declared.verify:
            return tuple(map(self._verifier, self.declared.verify))
        return (self._named.public,) if self._named else ()

    @property
    def signs_keyless(self) -> bool:
        """Whether packages are signed without a key."""
        return sigstore.is_signer(self.declared.sign)

    @cached_property
    def publishers(self) -> tuple[Verifier, ...]:
        """The keys, certificates and identities of the model's publisher that count; none if nobody has to have signed it.

        Raises:
            UserError: one of them cannot be read.
        """
        return tuple(map(self._verifier, self.declared.publisher))

    @cached_property
    def signer(self) -> Signer | None:
        """Who signs; None if nobody does. Without a key, nobody has logged in yet.

        Raises:
            UserError: the key cannot be used, or what it signs would not count.
            RemoteError: AWS KMS failed after retries.
        """
        if self.signs_keyless:
            return self._keyless
        signer = self._named
        if signer is None:
            return None
        if self.declared.certificates is not None:
            self._require_valid(signer.public)
        if self.declared.verify:
            self._require_counts(signer.public)
        return signer

    @property
    def made_public(self) -> str | None:
        """What signing makes public for ever; None if nothing."""
        if self.declared.sign != "sigstore":
            return None
        return (
            "signing by Sigstore: its public log shows to everybody, for ever, who signed and when; it is sent the address "
            "of the package and the names of its files, and keeps their digest"
        )

    def ready_signer(self) -> Signer | None:
        """Who signs, logged in where that takes a login, which is better refused before anything is sent. As `signer` otherwise."""
        signer = self.signer
        if isinstance(signer, keyless_signer.KeylessSigner):
            signer.log_in()
        return signer

    @property
    def _keyless(self) -> KeylessSigner:
        """Who signs without a key; a token is there to be had. As `signer` otherwise."""
        declared = self.declared.sign or ""
        name = sigstore.config_of(declared)
        config = self._data(name) if name else None
        found = tuple(each for each in self.keys if isinstance(each, keyless.Identity) and each.config == config)
        signer = keyless_signer.KeylessSigner(declared, config, found)
        signer.token_source()
        return signer

    @cached_property
    def _named(self) -> KeySigner | None:
        """The key that signs, with the certificates; whether they may today is not asked. As `signer` otherwise."""
        if self.declared.sign is None or self.signs_keyless:
            return None
        signer, name = self._signer(self.declared.sign), self.declared.certificates
        if name is None:
            return signer
        data = self._data(name)
        chain = self._read(lambda: pem.chain(data), name)
        certified = self._read(lambda: keys.PublicKey.of_der(name, x509.read(chain[0]).key), name)
        if certified.der != signer.public.der:
            raise UserError(
                f"the first certificate of {name} is of another key than {self.declared.sign}",
                where=_CERTIFICATES,
                fix="put the certificate of the key that signs first; this is the key that signs:\n"
                + pem.text(signer.public.der).decode(),
            )
        return keys.CertifiedSigner(replace(signer.public, chain=chain), signer)

    def _require_valid(self, public: PublicKey) -> None:
        """Check that the signer's certificate is valid today.

        Raises:
            UserError: it is not.
        """
        certificate = x509.read(public.chain[0])
        if not certificate.begins <= datetime.now(timezone.utc) <= certificate.ends:
            raise UserError(
                f"the first certificate of {self.declared.certificates} is valid from {certificate.begins:%Y-%m-%d %H:%M} to {certificate.ends:%Y-%m-%d %H:%M} "
                "UTC, so nothing is signed with it now",
                where=_CERTIFICATES,
                fix="put a new certificate of this key first in the file; what was signed before goes on counting, and --set trust.sign=null deploys it",
            )

    def _require_counts(self, public: PublicKey) -> None:
        """Check that what a key signs is believed by who verifies.

        Raises:
            UserError: it is not.
        """
        try:
            dsse.require_counts(public, self.keys)
        except dsse.SignatureError as error:
            why = "its public key is none of trust.verify"
            fix = f"write its public key to a file and add that to trust.verify:\n{pem.text(public.der).decode()}"
            if public.chain:
                why = str(error)
                fix = "add to trust.verify the certificate that it leads to, and to trust.certificates those between"
            raise UserError(f"what {self.declared.sign} signs would not count: {why}", where=_SIGN, fix=fix) from error

    def _signer(self, declared: str) -> KeySigner:
        kind, _, name = declared.partition(":")
        if kind == "kms":
            return KmsSigner(self.connect(), name)
        if kind == "env":
            text = os.environ.get(name, "")
            if not text:
                raise UserError(f"the variable {name} is not set, so nothing can be signed", where=_SIGN, fix=_VARIABLE)
            return self._read(lambda: keys.PrivateKey.read(declared, text.encode()), f"the text of {name}")
        return self._read(lambda: keys.PrivateKey.read(declared, self._data(name)), name)

    def _verifier(self, name: str) -> Verifier:
        if name.startswith(sigstore.PREFIX):
            return keyless.Identity.parse(name, self._data)
        data = self._data(name)
        certificate = self._read(lambda: pem.certificate(data), name)
        return (
            certificates.Authority(name, certificate)
            if certificate
            else self._read(lambda: keys.PublicKey.read(name, data), name)
        )

    def _read(self, read: Callable[[], _Key], name: str) -> _Key:
        try:
            return read()
        except pem.KeyFileError as error:
            raise UserError(f"{name} {error}", where="trust", fix=error.fix) from error

    def _data(self, name: str) -> bytes:
        try:
            with (self.root / name).open("rb") as file:
                return file.read(pem.LIMIT)
        except OSError as error:
            raise UserError(
                f"cannot read the key: {error.strerror}",
                where=name,
                fix="name a file that is there; paths begin at the project",
            ) from error


class KmsSigner:
    """A key of AWS KMS: it never leaves AWS. KMS is asked for the public key once, and once for each signature.

    Args:
        aws: the session.
        key: id, ARN, alias or ARN of an alias.
    """

    def __init__(self, aws: Aws, key: str) -> None:
        self._aws, self._name = aws, key

    @cached_property
    def public(self) -> PublicKey:
        """Its public key.

        Raises:
            UserError: there is no such key, it is none for signing, or the caller may not see it.
            RemoteError: AWS KMS failed after retries.
        """
        return keys.PublicKey.of_der(f"kms:{self._name}", self._key.public_key)

    def sign(self, message: bytes) -> bytes:
        """An ECDSA signature of the message, as DER. Only its hash is sent.

        Raises:
            UserError: the key cannot be used, or the caller may not.
            RemoteError: AWS KMS failed after retries.
        """
        return kms.sign(self._aws, self._name, self.public.digest(message), self._key.algorithm)

    @cached_property
    def _key(self) -> kms.SigningKey:
        return kms.signing_key(self._aws, self._name)
