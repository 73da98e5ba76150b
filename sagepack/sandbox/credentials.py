"""What opens one sandbox: made at random when it starts, and of use nowhere else."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@dataclass(frozen=True)
class Credentials:
    """The secrets of one sandbox, in the forms that AWS and the Hub give theirs.

    Attributes:
        access_key: access key id of its AWS; it is no secret, but as random as the others.
        secret_key: the secret access key that requests are signed with.
        hf_token: token of its Hub, with access to every gated repository.
        control: value of the `X-Sandbox-Token` header that opens the routes under `/_sandbox/`.
    """

    access_key: str
    secret_key: str = field(repr=False)
    hf_token: str = field(repr=False)
    control: str = field(repr=False)

    @classmethod
    def random(cls) -> Credentials:
        """Credentials that nobody knows yet."""
        access_key = "AKIA" + "".join(secrets.choice(_BASE32) for _ in range(16))
        return cls(access_key, secrets.token_urlsafe(30), f"hf_{secrets.token_hex(17)}", secrets.token_hex(16))
