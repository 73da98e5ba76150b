"""Keyless signatures of Sigstore: a certificate of minutes for an identity, and the entry of a transparency log. Pure.

It needs the package `sigstore` (the extra of that name), which verifies all of it: the certificate up to Sigstore's root, the
entry and its time, and the identity with the issuer that vouches for it. Sigstore's roots are those of that package and of its
cache; nobody is asked. They change now and then, with a new version of the package.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from functools import cached_property

from sagepack.errors import UserError

PREFIX = "sigstore:"
FORM = f"{PREFIX}IDENTITY ISSUER, such as '{PREFIX}release@acme.com https://accounts.google.com'"
_INSTALL = "pip install 'sagepack[sigstore]'"


class KeylessError(ValueError):
    """A keyless signature is not of an identity."""


@dataclass(frozen=True)
class Identity:
    """Who may sign without a key of one's own.

    Attributes:
        name: as the spec names it.
        identity: an address, or the URL of a workflow.
        issuer: URL of the OpenID Connect issuer that vouches for the identity.
    """

    name: str
    identity: str
    issuer: str

    @classmethod
    def parse(cls, name: str) -> Identity:
        """The identity that an entry of the spec names.

        Raises:
            ValueError: it has another form.
        """
        words = name.removeprefix(PREFIX).split()
        if (
            not name.startswith(PREFIX)
            or len(words) != len(("identity", "issuer"))
            or not words[1].startswith("https://")
        ):
            raise ValueError(f"write {FORM}")
        return cls(name, *words)

    @cached_property
    def hint(self) -> str:
        """SHA-256 of identity and issuer, in hex."""
        return hashlib.sha256(f"{self.identity}\n{self.issuer}".encode()).hexdigest()

    def payload(self, bundle: bytes) -> bytes:
        """What a bundle says, if this identity signed it.

        Raises:
            KeylessError: it did not, or the bundle is damaged.
            UserError: the package that verifies such signatures is not installed.
        """
        try:
            import sigstore  # noqa: PLC0415 - an extra, and slow to import
            from sigstore import errors, models, verify  # noqa: PLC0415
        except ImportError as error:
            message = "verifying a keyless signature needs the package sigstore"
            raise UserError(message, where=self.name, fix=_INSTALL) from error
        # It warns at each call that nobody is asked, which is meant; a command's own lines would be between.
        logging.getLogger(sigstore.__name__).setLevel(logging.ERROR)
        try:
            who = verify.policy.Identity(identity=self.identity, issuer=self.issuer)
            verifier = verify.Verifier.production(offline=True)
            kind, payload = verifier.verify_dsse(models.Bundle.from_json(bundle), who)
        except (errors.Error, ValueError) as error:
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise KeylessError(f"it is not a signature of {self.identity}: {reason}") from error
        if kind != "application/vnd.in-toto+json":
            raise KeylessError(f"it says something of the kind {kind}")
        return bytes(payload)
