"""Who a sandbox is: the account and region of its AWS, its random secrets, and the proof that it knows them."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

ACCOUNT = "123456789012"
"""The one account of the sandbox's AWS."""
REGION = "us-east-1"
"""The region of the sandbox's bucket."""
CONTROL_HEADER = "X-Sandbox-Token"
"""The header that must carry `Credentials.control` in requests for routes under `/_sandbox/` (`alive` needs none)."""

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Credentials:
    """The secrets of one sandbox, in the formats of AWS and the Hub. They are valid for that sandbox only.

    Attributes:
        access_key: access key id of its AWS; not secret, but as random as the others.
        secret_key: the secret access key that requests to its AWS are signed with.
        hf_token: token of its Hub, with access to every gated repository.
        control: value of `CONTROL_HEADER` that gives access to the control routes.
    """

    access_key: str
    secret_key: str = field(repr=False)
    hf_token: str = field(repr=False)
    control: str = field(repr=False)

    @classmethod
    def random(cls) -> Credentials:
        """New credentials from the operating system's random source."""
        access_key = "AKIA" + "".join(secrets.choice(_BASE32) for _ in range(16))
        return cls(access_key, secrets.token_urlsafe(30), f"hf_{secrets.token_hex(17)}", secrets.token_hex(16))


def proof(control: str, nonce: str) -> str:
    """The response of `/_sandbox/alive` to `nonce`, as hex digits: an HMAC-SHA256 that only a holder of `control` can make.

    `control` itself is never sent, so a program that listens on the port of an ended sandbox does not learn it.
    """
    return hmac.digest(control.encode(), f"alive {nonce}".encode(), "sha256").hex()


def matches(given: str | None, secret: str) -> bool:
    """Whether `given`, a header's value, equals `secret`; compared in constant time."""
    return hmac.compare_digest((given or "").encode(), secret.encode())
