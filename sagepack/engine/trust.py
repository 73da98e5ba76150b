"""The keys that `trust` names: those that count, and the one that signs. Nothing is read before it is needed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.aws import kms
    from sagepack.aws.session import Aws
    from sagepack.package.attest import certificates, keyless, keys
    from sagepack.package.attest.certificates import Authority
    from sagepack.package.attest.keyless import Identity
    from sagepack.package.attest.keys import PublicKey, Signer
    from sagepack.spec import model, pem
else:
    certificates = lazy.module("package.attest.certificates")
    keyless = lazy.module("package.attest.keyless")
    keys = lazy.module("package.attest.keys")
    kms = lazy.module("aws.kms")
    pem = lazy.module("spec.pem")

_Key = TypeVar("_Key")
_SIGN = "trust.sign"
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
    def keys(self) -> tuple[PublicKey, ...]:
        """The keys that count: those of `verify`, or else the one that signs; none if nothing is signed.

        Raises:
            UserError: one of them cannot be read.
        """
        if self.declared.verify:
            return tuple(map(self._public_key, self.declared.verify))
        return (self.signer.public,) if self.signer else ()

    @cached_property
    def publishers(self) -> tuple[PublicKey | Authority | Identity, ...]:
        """The keys, certificates and identities of the model's publisher that count; none if nobody has to have signed it.

        Raises:
            UserError: one of them cannot be read.
        """
        return tuple(map(self._publisher, self.declared.publisher))

    @cached_property
    def signer(self) -> Signer | None:
        """Who signs; None if nobody does.

        Raises:
            UserError: the key cannot be used, or what it signs would not count.
            RemoteError: AWS KMS failed after retries.
        """
        if self.declared.sign is None:
            return None
        signer = self._signer(self.declared.sign)
        if self.declared.verify and signer.public.hint not in {key.hint for key in self.keys}:
            raise UserError(
                f"what {self.declared.sign} signs would not count: its public key is none of trust.verify",
                where=_SIGN,
                fix=f"write its public key to a file and add that to trust.verify:\n{pem.text(signer.public.der).decode()}",
            )
        return signer

    def _signer(self, declared: str) -> Signer:
        kind, _, name = declared.partition(":")
        if kind == "kms":
            return KmsSigner(self.connect(), name)
        if kind == "env":
            text = os.environ.get(name, "")
            if not text:
                raise UserError(f"the variable {name} is not set, so nothing can be signed", where=_SIGN, fix=_VARIABLE)
            return self._read(lambda: keys.PrivateKey.read(declared, text.encode()), f"the text of {name}")
        return self._read(lambda: keys.PrivateKey.read(declared, self._data(name)), name)

    def _public_key(self, name: str) -> PublicKey:
        return self._read(lambda: keys.PublicKey.read(name, self._data(name)), name)

    def _publisher(self, name: str) -> PublicKey | Authority | Identity:
        if name.startswith(keyless.PREFIX):
            return keyless.Identity.parse(name)
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
