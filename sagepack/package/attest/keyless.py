"""Keyless signatures of Sigstore: a certificate of minutes for an identity, and the entry of a transparency log. Pure.

It needs the package `sigstore` (the extra of that name), which verifies all of it: the certificate up to the root of the Sigstore
instance, the entry and its time, which the certificate must cover, and the identity with the issuer that vouches for it. Nobody is
asked. The roots of the public instance are those in the cache of that package, which begins with those that the package brings,
and which signing through the public instance renews; those of another instance are in the file that is named with the identity.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from sagepack.errors import UserError
from sagepack.spec import sigstore as naming

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALL = "pip install 'sagepack[sigstore]'"


class KeylessError(ValueError):
    """A keyless signature is not of an identity."""


@dataclass(frozen=True)
class Identity:
    """Who may sign without a key of one's own.

    Attributes:
        name: as the spec names it.
        identity: an address, or the URL of a workflow.
        issuer: URL of the OpenID Connect issuer that vouches for the identity.
        config: the client trust configuration of the Sigstore instance; None for the public one.
    """

    name: str
    identity: str
    issuer: str
    config: bytes | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, name: str, read: Callable[[str], bytes]) -> Identity:
        """The identity that an entry of the spec names.

        Args:
            name: the entry.
            read: gives the content of the file that it names, if it names one.

        Raises:
            ValueError: it has another form.
        """
        found = naming.identity(name)
        if found is None:
            raise ValueError(naming.FORM)
        config = read(found.config) if found.config else None
        return cls(name, found.identity, found.issuer, config)

    @cached_property
    def hint(self) -> str:
        """SHA-256 of identity and issuer, and of the file's name for another instance than the public one, on a line each; in hex."""
        named = naming.identity(self.name)
        instance = (named.config,) if named and named.config else ()
        return hashlib.sha256("\n".join((self.identity, self.issuer, *instance)).encode()).hexdigest()

    def require_library(self) -> None:
        """Check that the package that verifies is installed.

        Raises:
            UserError: it is not.
        """
        require_library("verifying a keyless signature", self.name)

    def is_same(self, other: Identity) -> bool:
        """Whether both are one identity of one instance, however they are written."""
        return (self.identity, self.issuer, self.config) == (other.identity, other.issuer, other.config)

    def payload(self, bundle: bytes) -> bytes:
        """What a bundle says, if this identity signed it.

        Raises:
            KeylessError: it did not, or the bundle is damaged.
            UserError: the package that verifies such signatures is not installed, or has no roots to verify with.
        """
        self.require_library()
        from sigstore import models, verify  # noqa: PLC0415 - an extra, and slow to import

        verifier = self._verifier
        try:
            who = verify.policy.Identity(identity=self.identity, issuer=self.issuer)
            kind, payload = verifier.verify_dsse(models.Bundle.from_json(bundle), who)
        except Exception as error:  # whatever the library makes of a bundle of somebody else: it does not count
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise KeylessError(f"it is not a signature of {self.identity}: {reason}") from error
        if kind != "application/vnd.in-toto+json":
            raise KeylessError(f"it says something of the kind {kind}")
        return bytes(payload)

    @property
    def _verifier(self) -> Any:
        """What verifies signatures of the instance.

        Raises:
            UserError: the roots cannot be read.
        """
        from sigstore import errors  # noqa: PLC0415 - as above

        try:
            return _verifier(self.config)
        except OSError as error:
            raise unusable_cache(error) from error
        except (errors.Error, ValueError) as error:
            raise unusable_config(error, self.name) from error


def require_library(purpose: str, where: str) -> None:
    """Check that the package `sigstore` is installed.

    Args:
        purpose: what needs it, for the message.
        where: likewise.

    Raises:
        UserError: it is not.
    """
    try:
        import sigstore  # noqa: PLC0415 - an extra, and slow to import
    except ImportError as error:
        raise UserError(f"{purpose} needs the package sigstore", where=where, fix=INSTALL) from error
    # It warns at each call that nobody is asked, which is meant; a command's own lines would be between.
    logging.getLogger(sigstore.__name__).setLevel(logging.ERROR)


def trust_config(config: bytes | None, *, offline: bool) -> Any:
    """The services and roots of a Sigstore instance.

    Args:
        config: its client trust configuration; None for the public instance.
        offline: take what is known of the public instance, and ask nobody whether it is still so.

    Raises:
        ValueError: the configuration is none. Errors of the package `sigstore` otherwise.
    """
    from sigstore import models  # noqa: PLC0415 - as above

    if config is None:
        return models.ClientTrustConfig.production(offline=offline)
    return models.ClientTrustConfig.from_json(config.decode())


def unusable_cache(error: OSError) -> UserError:
    """The error for a cache of roots that cannot be read or written."""
    fix = "set XDG_CACHE_HOME and XDG_DATA_HOME to folders that this user may write"
    message = f"the cache of Sigstore's roots cannot be used: {error.strerror}"
    return UserError(message, where=error.filename, fix=fix)


def unusable_config(error: Exception, where: str) -> UserError:
    """The error for a client trust configuration that the package `sigstore` does not take."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return UserError(
        "the client trust configuration of Sigstore cannot be used", where=where, fix=naming.CONFIG, details=lines[:6]
    )


@lru_cache(maxsize=16)
def _verifier(config: bytes | None) -> Any:
    """What verifies signatures of an instance; the same for all of a run, since reading the roots takes longer than a signature."""
    from sigstore import verify  # noqa: PLC0415 - as above

    return verify.Verifier(trusted_root=trust_config(config, offline=True).trusted_root)
