"""How a spec names Sigstore, where who signs is known by a login instead of a key. Pure.

sigstore                          (trust.sign) whoever logs in signs, by the public instance
sigstore:PATH                     (trust.sign) by another one; PATH is its client trust configuration
sigstore:IDENTITY ISSUER [PATH]   (trust.verify, trust.publisher) whose signatures count, and of which instance
"""

from __future__ import annotations

import re

from sagepack.decoding import Value

PREFIX = "sigstore:"
MEDIA_TYPE = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"
FORM = f"write '{PREFIX}IDENTITY https://ISSUER'"
CONFIG = f"name a file with the client trust configuration of the instance, as its operators give it (mediaType {MEDIA_TYPE})"

_IDENTITY = re.compile(r"sigstore:(?P<identity>\S+) +(?P<issuer>https://\S+)( +(?P<config>\S.*))?")


class NamedIdentity(Value, frozen=True):
    """Whose signatures count.

    Attributes:
        identity: an address, or the URL of a workflow.
        issuer: URL of the OpenID Connect issuer that vouches for it.
        config: file of the instance, relative to the project; None for the public one.
    """

    identity: str
    issuer: str
    config: str | None


def identity(name: str) -> NamedIdentity | None:
    """The identity that an entry names; None if it names none."""
    found = _IDENTITY.fullmatch(name)
    return NamedIdentity(found["identity"], found["issuer"], found["config"]) if found else None


def entry(identity: str, issuer: str, config: str | None) -> str:
    """The entry that names an identity."""
    return f"{PREFIX}{identity} {issuer} {config or ''}".rstrip()


def is_signer(sign: str | None) -> bool:
    """Whether `trust.sign` says that whoever logs in signs."""
    return (sign or "").partition(":")[0] == "sigstore"


def config_of(sign: str) -> str | None:
    """The file of the instance by which a `trust.sign` of that kind signs; None for the public one."""
    return sign.removeprefix("sigstore").removeprefix(":") or None
