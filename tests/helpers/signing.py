"""Keys for tests, made in memory: what `openssl ecparam -genkey` and `openssl ec -pubout` write."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from awscrt.crypto import EC, ECExportFormat, ECType

from sagepack.package.attest.keys import PrivateKey, PublicKey

if TYPE_CHECKING:
    from pathlib import Path

P256, P384 = ECType.P_256, ECType.P_384


@dataclass(frozen=True)
class KeyPair:
    """A pair of keys: PEM texts, and as values."""

    private_pem: bytes
    public_pem: bytes

    @classmethod
    @cache
    def of(cls, name: str, kind: ECType = P256) -> KeyPair:
        """The pair of this name; the same one for the whole run."""
        del name
        key = EC.new_generate(kind)
        private, public = key.export_key(ECExportFormat.SEC1), key.export_key(ECExportFormat.SPKI)
        return cls(pem("EC PRIVATE KEY", private), pem("PUBLIC KEY", public))

    @property
    def signer(self) -> PrivateKey:
        return PrivateKey.read("key.pem", self.private_pem)

    @property
    def public(self) -> PublicKey:
        return PublicKey.read("key.pub", self.public_pem)

    def write(self, folder: Path, name: str = "key") -> tuple[Path, Path]:
        """Both files; the private one first."""
        folder.mkdir(parents=True, exist_ok=True)
        private, public = folder / f"{name}.pem", folder / f"{name}.pub"
        private.write_bytes(self.private_pem)
        public.write_bytes(self.public_pem)
        return private, public


def pem(label: str, der: bytes) -> bytes:
    """DER as PEM."""
    return f"-----BEGIN {label}-----\n".encode() + base64.encodebytes(der) + f"-----END {label}-----\n".encode()
