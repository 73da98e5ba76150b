"""What the Hub's refusals mean to a person: each its own message, with what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.decoding import MalformedError
    from sagepack.errors import SagepackError

TOKENS = "https://huggingface.co/settings/tokens"
# Of what a server says, in characters: one line for a person.
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class HubRequest:
    """What was asked of the Hub.

    Attributes:
        repo: repository id.
        revision: commit, branch or tag.
        path: file, if one was asked for.
        token: where the token came from, such as `HF_TOKEN`; None without one.
    """

    repo: str
    revision: str | None = None
    path: str | None = None
    token: str | None = None

    @property
    def where(self) -> str:
        """The thing in one line."""
        revision = f"@{self.revision[:12]}" if self.revision else ""
        return f"{self.repo}{revision}" + (f": {self.path}" if self.path else "")


def refusal(status: int, headers: Mapping[str, str], asked: HubRequest) -> SagepackError:
    """The error for an answer that trying again does not change.

    Codes are those of the header `X-Error-Code`, as huggingface_hub's `hf_raise_for_status` reads them.
    """
    code, said = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")[:_LONGEST_TEXT]
    if code in _BY_CODE:
        return _BY_CODE[code](asked)
    # A bad token is refused without a code, a missing repository without a token with 401 and the code.
    if status == 401:
        return _bad_token(asked)
    if status == 403 or "disabled" in said:
        fix = f"give the token the permission to read this repository at {TOKENS}, unless the Hub has disabled it"
        return UserError(f"access is forbidden: {said or 'status 403'}", where=asked.where, fix=fix)
    return RemoteError(f"the Hub answered {status} {said}".strip(), where=asked.where)


def malformed(what: str, error: MalformedError, asked: HubRequest) -> RemoteError:
    """The error for an answer, `what` of the Hub, that is not what it should be."""
    fix = "see whether HF_ENDPOINT is the address of a Hub, and no proxy on the way answers in its place"
    return RemoteError(f"{what} of the Hub makes no sense: {str(error)[:_LONGEST_TEXT]}", where=asked.where, fix=fix)


def offline(asked: HubRequest) -> UserError:
    """The error for needing the network while `HF_HUB_OFFLINE` is set."""
    fix = "unset HF_HUB_OFFLINE, or fill the cache first on a machine with network"
    return UserError("this is not in the cache, and HF_HUB_OFFLINE forbids to fetch it", where=asked.where, fix=fix)


def _gated(asked: HubRequest) -> UserError:
    page = f"https://huggingface.co/{asked.repo}"
    if asked.token is None:
        steps = (
            f"accept its conditions at {page}, make a token at {TOKENS}, then `export HF_TOKEN=...` or `hf auth login`"
        )
        return UserError("the model is gated, and there is no token", where=asked.repo, fix=steps)
    steps = (
        f"visit {page} with the account of the token from {asked.token}: accept the conditions and wait until access is "
        f"granted; a fine-grained token also needs the permission to read gated repositories ({TOKENS})"
    )
    return UserError("the model is gated, and this token's account has no access yet", where=asked.repo, fix=steps)


def _not_found(asked: HubRequest) -> UserError:
    if asked.token is None:
        fix = "check model.id; if the repository is private, `export HF_TOKEN=...` or `hf auth login`"
        return UserError("there is no such repository, or it is private", where=asked.repo, fix=fix)
    fix = f"check model.id; if the repository is private, the token from {asked.token} must be allowed to read it"
    return UserError("there is no such repository, or this token may not see it", where=asked.repo, fix=fix)


def _bad_token(asked: HubRequest) -> UserError:
    if asked.token is None:
        return UserError("the Hub wants a token", where=asked.where, fix="`export HF_TOKEN=...` or `hf auth login`")
    fix = (
        f"it is mistyped, expired or revoked: make a new one at {TOKENS}, then `export HF_TOKEN=...` or `hf auth login`"
    )
    return UserError(f"the Hub does not accept the token from {asked.token}", where=asked.repo, fix=fix)


def _no_revision(asked: HubRequest) -> UserError:
    fix = f"see https://huggingface.co/{asked.repo}/commits/main for the commits there are, then mend model.revision"
    return UserError(f"the repository has no revision {asked.revision!r}", where=asked.repo, fix=fix)


def _no_file(asked: HubRequest) -> UserError:
    fix = "the repository's history was changed, or the lock was: make it anew with `invoke lock --update`"
    return UserError("the repository has no such file at this commit", where=asked.where, fix=fix)


_BY_CODE = {
    "GatedRepo": _gated,
    "RepoNotFound": _not_found,
    "RevisionNotFound": _no_revision,
    "EntryNotFound": _no_file,
}
