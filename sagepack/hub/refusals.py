"""Error responses of the Hub as messages: what is wrong, and what the user can do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import RemoteError, UserError
from sagepack.hub.address import DEFAULT_HUB, SANDBOX

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.decoding import MalformedError
    from sagepack.errors import SagepackError
    from sagepack.hub.address import HubAddress

# Characters of a text from the server that a message shows: one line.
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class HubRequest:
    """What a request to the Hub is about.

    Attributes:
        repo: repository id.
        revision: commit, branch or tag.
        path: path of a file in the repository, if the request is about one.
        token: where the token was found, such as `HF_TOKEN`; None without one.
        hub: the Hub that is asked.
    """

    repo: str
    revision: str | None = None
    path: str | None = None
    token: str | None = None
    hub: HubAddress = DEFAULT_HUB

    @property
    def where(self) -> str:
        """Repository, revision and path in one line, for messages."""
        revision = f"@{self.revision[:12]}" if self.revision else ""
        return f"{self.repo}{revision}" + (f": {self.path}" if self.path else "")


def refusal(status: int, headers: Mapping[str, str], request: HubRequest) -> SagepackError:
    """The error for a response that would be the same at the next attempt.

    The codes are those of the header `X-Error-Code`, as `hf_raise_for_status` of huggingface_hub reads them.
    """
    code, text = headers.get("X-Error-Code", ""), headers.get("X-Error-Message", "")[:_LONGEST_TEXT]
    if code in _BY_CODE:
        return _BY_CODE[code](request, text)
    # A bad token gives 401 without a code; without a token a missing repository gives 401 with the code.
    if status == 401:
        return _bad_token(request)
    if status == 403 or "disabled" in text:
        page = request.hub.tokens
        fix = f"give the token permission to read this repository at {page}, unless the Hub has disabled the repository"
        return UserError(f"access is forbidden: {text or 'status 403'}", where=request.where, fix=fix)
    if status == 404 and "html" in headers.get("Content-Type", ""):
        fix = f"correct {request.hub.source}: it must be the address of a Hugging Face Hub, without the path of a page"
        message = f"this is not the address of a Hub: {request.hub.url} returned a page and status 404"
        return UserError(message, where=request.where, fix=fix)
    return RemoteError(f"the Hub returned status {status} {text}".strip(), where=request.where)


def malformed(what: str, error: MalformedError, request: HubRequest) -> RemoteError:
    """The error for a response (`what`, such as "the response") that is not valid."""
    fix = f"check that {request.hub} is the address of a Hub, and that no proxy or login page responds in its place"
    return RemoteError(f"{what} of the Hub is not valid: {str(error)[:_LONGEST_TEXT]}", where=request.where, fix=fix)


def offline(request: HubRequest) -> UserError:
    """The error for a request while `HF_HUB_OFFLINE` is set."""
    fix = "unset HF_HUB_OFFLINE, or fill the cache first on a machine with network access"
    return UserError(
        "this is not in the cache, and HF_HUB_OFFLINE forbids downloading it", where=request.where, fix=fix
    )


def _gated(request: HubRequest, _text: str) -> UserError:
    page, tokens = f"{request.hub.pages}/{request.repo}", request.hub.tokens
    if request.token is None:
        steps = f"accept its conditions at {page}, create a token at {tokens}, then {request.hub.login}"
        return UserError("the model is gated, and there is no token", where=request.repo, fix=steps)
    steps = (
        f"visit {page} with the account of the token from {request.token}: accept the conditions and wait until access is "
        f"granted; a fine-grained token also needs the permission to read gated repositories ({tokens})"
    )
    return UserError("the model is gated, and this token's account has no access yet", where=request.repo, fix=steps)


def _not_found(request: HubRequest, text: str) -> UserError:
    if request.hub.source == SANDBOX:
        fix = f"add yours: `invoke sandbox.add {request.repo} FOLDER`, or use the real Hub: --env with another environment"
        return UserError(text, where=request.repo, fix=fix)
    if request.token is None:
        fix = f"check model.id; if the repository is private, {request.hub.login}"
        return UserError("there is no such repository, or it is private", where=request.repo, fix=fix)
    fix = f"check model.id; if the repository is private, the token from {request.token} needs permission to read it"
    return UserError("there is no such repository, or this token has no access to it", where=request.repo, fix=fix)


def _bad_token(request: HubRequest) -> UserError:
    login = request.hub.login
    if request.token is None:
        return UserError("the Hub requires a token", where=request.where, fix=login)
    fix = f"it is mistyped, expired or revoked: create a new one at {request.hub.tokens}, then {login}"
    return UserError(f"the Hub rejects the token from {request.token}", where=request.where, fix=fix)


def _no_revision(request: HubRequest, text: str) -> UserError:
    if request.hub.source == SANDBOX:
        fix = f"for an own model run `invoke sandbox.add {request.repo} FOLDER` again, and set model.revision to what it prints"
        return UserError(text, where=request.where, fix=fix)
    fix = f"see {request.hub.pages}/{request.repo}/commits/main for its commits, then correct model.revision"
    return UserError(f"the repository has no revision {request.revision!r}", where=request.repo, fix=fix)


def _no_file(request: HubRequest, _text: str) -> UserError:
    fix = "the history of the repository, or the lock, was changed: run `invoke lock --update`"
    return UserError("the repository has no such file at this commit", where=request.where, fix=fix)


_BY_CODE = {
    "GatedRepo": _gated,
    "RepoNotFound": _not_found,
    "RevisionNotFound": _no_revision,
    "EntryNotFound": _no_file,
}
