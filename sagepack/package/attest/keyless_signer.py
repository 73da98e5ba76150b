"""Signing without a key: the login of a person or a job, and a key that lives as long as one command.

    token          OpenID Connect says who this is: CI's own, the variable SIGSTORE_ID_TOKEN, or a login in the browser
    certificate    Sigstore's authority (Fulcio) certifies a new key for that identity, for ten minutes
    entry          Sigstore's log (Rekor) keeps each signature with the certificate, for everybody to read

All of it is the client of the package `sigstore` (the extra of that name). One login is for all that is signed while the
certificate lives. Nothing here runs before something is signed: a plan looks only whether a token is to be had.
"""

from __future__ import annotations

import os
import sys
import threading
from concurrent.futures import Future, wait
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sagepack.errors import SagepackError, UserError
from sagepack.package.attest import keyless
from sagepack.package.attest.keyless import Identity, KeylessError
from sagepack.retry import RetryableError, RetryPolicy
from sagepack.spec import sigstore as naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VARIABLE = "SIGSTORE_ID_TOKEN"
_SIGN = "trust.sign"
_BROWSER = "a login in the browser"
_SPARE = timedelta(seconds=60)  # a certificate that ends sooner is not begun with
_ATTEMPTS = 3
PATIENCE = 60.0  # seconds for one request; a log may answer only when it has the entry
_AGAIN = "no signature was written; the same command again sends nothing that is in S3 already, and signs"
_GET_TOKEN = (
    f"set {VARIABLE} to a token of OpenID Connect for the audience sigstore, sign in CI that has one (GitHub Actions, GitLab, "
    "Buildkite, CircleCI, Google Cloud), or run the command in a terminal, where it logs in by the browser"
)
_GITHUB = "give the job `permissions: id-token: write`; a pull request from a fork gets none"
_GITLAB = f"give the job `id_tokens: {VARIABLE}: aud: sigstore`"
_TOO_OLD = "get a new one; what is in S3 already is not sent again"
# Variables of CI whose job can have a token -> what it is called.
_HOSTS = {"BUILDKITE": "Buildkite", "CIRCLECI": "CircleCI", "GOOGLE_SERVICE_ACCOUNT_NAME": "Google Cloud"}
_GOOGLE = Path("/sys/class/dmi/id/product_name")
_ISSUERS = ("1.3.6.1.4.1.57264.1.8", "1.3.6.1.4.1.57264.1.1")  # Fulcio's OIDs of the issuer, the newer form first
_UTF8_STRING = b"\x0c"

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class _Session:
    """A login.

    Attributes:
        identity: who logged in.
        ends: until when the certificate may sign (UTC).
        signer: of the package `sigstore`.
    """

    identity: Identity
    ends: datetime
    signer: Any


class KeylessSigner:
    """Signs as whoever logs in.

    Args:
        name: as the spec names it.
        config: the client trust configuration of the Sigstore instance; None for the public one.
        counts: the identities whose signatures count; empty if nobody asks.
    """

    def __init__(self, name: str, config: bytes | None, counts: tuple[Identity, ...]) -> None:
        self.name = name
        self._config, self._counts = config, counts
        self._session: _Session | None = None

    @property
    def public(self) -> Identity:
        """Who signs: it takes a login, if there was none yet. As `log_in` otherwise."""
        return (self._session or self._begin()).identity

    @property
    def asks(self) -> bool:
        """Whether a login asks a person. As `token_source` otherwise."""
        return self.token_source() == _BROWSER

    def token_source(self) -> str:
        """Where the token will come from; nobody is asked for it.

        Raises:
            UserError: there will be none, or the package `sigstore` is not installed.
        """
        keyless.require_library("signing without a key", self.name)
        if os.environ.get(VARIABLE):
            return f"the token in {VARIABLE}"
        if os.environ.get("GITHUB_ACTIONS"):
            if not os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN"):
                raise UserError("this job of GitHub Actions may not have an identity token", where=_SIGN, fix=_GITHUB)
            return "the identity of this job of GitHub Actions"
        if os.environ.get("GITLAB_CI"):
            raise UserError("this job of GitLab has no identity token for Sigstore", where=_SIGN, fix=_GITLAB)
        host = next((host for variable, host in _HOSTS.items() if os.environ.get(variable)), None)
        if host or _is_google():
            return f"the identity of this machine or job ({host or 'Google Cloud'})"
        if sys.stdin is None or not sys.stdin.isatty():
            message = "there is no identity to sign with: no token, and no terminal to log in from"
            raise UserError(message, where=_SIGN, fix=_GET_TOKEN)
        return _BROWSER

    def log_in(self) -> None:
        """Find out who signs and get a certificate for it, unless there is one that lives long enough.

        Raises:
            UserError: there is no token, it is not accepted, or what it signs would not count.
            RemoteError: a service of Sigstore failed after retries.
        """
        if self._session is None or self._session.ends - datetime.now(timezone.utc) < _SPARE:
            self._begin()

    def bundle(self, payload: bytes) -> bytes:
        """A statement, signed, as a Sigstore bundle with its entry in the log.

        Raises:
            UserError: as `log_in`; or the log does not take it.
            RemoteError: a service of Sigstore failed after retries.
        """
        self.log_in()
        session = self._session or self._begin()
        from sigstore import dsse  # noqa: PLC0415 - an extra, and slow to import

        statement = dsse.Statement(payload)
        signed = _asked(f"the transparency log of {self.name}", lambda: session.signer.sign_dsse(statement))
        bundle = f"{signed.to_json()}\n".encode()
        try:
            session.identity.payload(bundle)  # with the roots that will verify it: whoever deploys has no others
        except KeylessError as error:
            message = f"what was just signed does not verify with the roots of this machine: {error}"
            fix = "`sigstore plumbing update-trust-root` renews those of the public instance; those of another are in its file"
            raise UserError(message, where=self.name, fix=f"{fix}; {_AGAIN}") from error
        return bundle

    def _begin(self) -> _Session:
        """Log in. As `log_in` otherwise."""
        self.token_source()
        from sigstore import errors, sign  # noqa: PLC0415 - as above

        try:
            config = _attempted("Sigstore's own roots", lambda: keyless.trust_config(self._config, offline=False))
            context = sign.SigningContext.from_trust_config(config)
        except (errors.Error, ValueError) as error:
            raise keyless.unusable_config(error, self.name) from error
        token = self._token(config)

        def certified() -> tuple[Any, Any]:
            with context.signer(token) as signer:
                # No public name gives the certificate before something is in the log for ever.
                return signer, signer._signing_cert()  # noqa: SLF001

        signer, certificate = _asked(f"the authority of {self.name}", certified)
        identity = self._counting(*_named(certificate))
        self._session = _Session(identity, certificate.not_valid_after_utc, signer)
        return self._session

    def _token(self, config: Any) -> Any:
        """The token of whoever runs this.

        Raises:
            UserError: there is none, or it is not one for Sigstore.
        """
        from sigstore import errors, oidc  # noqa: PLC0415 - as above

        given = os.environ.get(VARIABLE, "").strip()
        try:
            text = given or _attempted("the identity of this job", oidc.detect_credential)
            if text:
                return oidc.IdentityToken(text)
            url = config.signing_config.get_oidc_url()
            return _attempted(url, lambda: oidc.Issuer(url)).identity_token()
        except (errors.Error, oidc.IssuerError) as error:
            source = f"the token in {VARIABLE}" if given else "the token"
            if any(type(each).__name__ == "ExpiredSignatureError" for each in _causes(error)):
                raise UserError(f"{source} has ended", where=_SIGN, fix=_TOO_OLD) from error
            reasons = [str(each) for each in _causes(error) if str(each)] or [type(error).__name__]
            raise UserError(f"{source} is of no use: {'; '.join(reasons[:2])}", where=_SIGN, fix=_GET_TOKEN) from error

    def _counting(self, identity: str, issuer: str) -> Identity:
        """Who logged in, as the spec names it.

        Raises:
            UserError: what it signs would not count.
        """
        mine = Identity(naming.entry(identity, issuer, naming.config_of(self.name)), identity, issuer, self._config)
        if not self._counts:
            return mine
        found = next((each for each in self._counts if each.is_same(mine)), None)
        if found is None:
            message = f"what {identity} signs would not count: it is none of trust.verify (its issuer is {issuer})"
            fix = f"let one of those sign, or add to trust.verify: '{mine.name}'"
            raise UserError(message, where=_SIGN, fix=fix)
        return found


def _asked(where: str, work: Callable[[], _Result]) -> _Result:
    """The answer of Sigstore's authority or log, after some attempts.

    Raises:
        UserError: it refuses, or its answer is not what the trust configuration says.
        RemoteError: it failed each time.
    """
    try:
        return _attempted(where, work)
    except SagepackError:
        raise
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(f"the answer of Sigstore is of no use: {reason}", where=where, fix=_AGAIN) from error


def _attempted(where: str, work: Callable[[], _Result]) -> _Result:
    """The result of a request to a service of Sigstore, after some attempts.

    Raises:
        UserError: the service refuses it.
        RemoteError: it failed each time.
    """
    retries = RetryPolicy(attempts=_ATTEMPTS, fix=_AGAIN).begin(where)
    while True:
        with retries:
            try:
                return _in_time(work)
            except SagepackError:
                raise
            except Exception as error:  # the errors of its clients have no public names
                failure = _failure(error, where)
                if failure is None:
                    raise
                raise failure from error


def _in_time(work: Callable[[], _Result]) -> _Result:
    """The result of a request, which the clients of the package would wait for without end.

    Raises:
        TimeoutError: there was none in time; the thread that waits for it ends with the program.
    """
    found: Future[_Result] = Future()

    def run() -> None:
        try:
            found.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever waits raises it
            found.set_exception(error)

    threading.Thread(target=run, name="sigstore", daemon=True).start()
    if not wait([found], PATIENCE).done:
        raise TimeoutError(f"not within {PATIENCE:.0f} s")
    return found.result()


def _failure(error: Exception, where: str) -> Exception | None:
    """What an error of the network means, which the package `sigstore` wraps in its own; None if it is another one."""
    wrapped = [each for each in _causes(error) if isinstance(each, OSError)]
    if not wrapped:
        return None
    if wrapped[-1].filename:
        return keyless.unusable_cache(wrapped[-1])
    response = next((found for each in wrapped if (found := getattr(each, "response", None)) is not None), None)
    if response is None:
        return RetryableError(f"no answer: {wrapped[-1]}")
    said = f"HTTP {response.status_code}: {_told(response)}"
    if response.status_code == 429 or response.status_code >= 500:
        return RetryableError(said)
    return UserError(f"Sigstore refuses it with {said}", where=where, fix=_AGAIN)


def _told(response: Any) -> str:
    """What a service says of an error."""
    try:
        return str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        return str(response.text).strip()[:200] or "no reason is given"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error and those it came from, the last one first."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def _named(certificate: Any) -> tuple[str, str]:
    """Identity and issuer, as a certificate names them (Fulcio, certificate specification)."""
    from cryptography import x509  # noqa: PLC0415 - sigstore brings it

    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    found = {each.oid.dotted_string: each.value for each in certificate.extensions}
    return _text(next(iter(names)).value), _text(next(found[oid].value for oid in _ISSUERS if oid in found))


def _text(value: str | bytes) -> str:
    """A name of a certificate: text, its bytes, or a UTF8String of DER."""
    if isinstance(value, str):
        return value
    if value.startswith(_UTF8_STRING):
        more = value[1] & 0x7F if value[1] & 0x80 else 0  # bytes of the length, where it has more than one
        value = value[2 + more :]
    return value.decode()


def _is_google() -> bool:
    """Whether this machine is one of Google Cloud, which gives it an identity."""
    try:
        return _GOOGLE.read_text().strip() in {"Google", "Google Compute Engine"}
    except OSError:
        return False
