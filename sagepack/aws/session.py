"""An AWS session: boto3 clients with this program's retries and endpoints, and errors that say what to do."""

from __future__ import annotations

import io
import os
import re
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property, partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sagepack.aws.outage import Trouble
from sagepack.aws.permissions import actions_of, policy_for
from sagepack.decoding import MalformedError
from sagepack.errors import RemoteError, SagepackError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterator, Sequence

    from botocore.exceptions import ClientError

    from sagepack.aws.outage import Outage

_Answer = TypeVar("_Answer")
# A request or a response of an AWS API, in the API's own names.
Document = dict[str, Any]

_LOGIN = "log in again (`aws sso login`, or new keys) and run the same command: it continues where it stopped"
_DENIED = {
    "403",  # the response to a HEAD request has no body that could name a code
    "AccessDenied",
    "AccessDeniedException",
    "AllAccessDisabled",
    "AuthorizationError",
    "AuthorizationErrorException",
    "Forbidden",
    "UnauthorizedOperation",
}
_UNKNOWN_OPERATION = {"UnknownOperationException", "InvalidAction", "NotImplemented"}
# What these say is good to know and nothing waits for it.
_EXTRA_SERVICES = {"logs"}
# Services that have endpoints in a few regions only (AWS general reference, "Service endpoints").
_REGIONS = {"pricing": "us-east-1"}
_CLOCK_MESSAGE = re.compile(r"Signature (expired|not yet current)")
_KMS = "check the key (artifact.kms_key_id, or the bucket's default): it must be enabled, and in the bucket's region"
_LONGEST_TEXT = 20_000  # characters of a service's message that are kept: some list hundreds of values


_NO_CREDENTIALS = "log in (`aws sso login`, `aws login`), or set AWS_PROFILE, aws.profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
# The method of botocore's credentials -> where they come from.
_SOURCES = {
    "explicit": "this environment's settings",
    "env": "AWS_ACCESS_KEY_ID of this shell",
    "shared-credentials-file": "~/.aws/credentials, profile {profile}",
    "config-file": "~/.aws/config, profile {profile}",
    "assume-role": "the role that profile {profile} assumes",
    "assume-role-with-web-identity": "a role for the web identity of AWS_WEB_IDENTITY_TOKEN_FILE",
    "sso": "IAM Identity Center, profile {profile}",
    "login": "`aws login`, profile {profile}",
    "custom-process": "the credential_process of profile {profile}",
    "container-role": "the role of this container",
    "iam-role": "the role of this EC2 instance",
}

# botocore's `session_vars`: (key in the file, environment variable, default, conversion).
_NO_CONFIGURATION = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}


@dataclass(frozen=True)
class AwsConnection:
    """The parameters of a boto3 session.

    Attributes:
        region: region of every client.
        profile: profile of the shared configuration files; None means boto3's default.
        endpoint_url: one URL for every service (the sandbox); None means AWS, or the variables `AWS_ENDPOINT_URL*`.
        access_key, secret_key: fixed credentials of the sandbox; None means boto3's credential chain.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Patience:
    """How long a client waits for a service.

    Attributes:
        connect, read: seconds until a connection is there, and between two pieces of a response.
        attempts: most times that a request is sent.
        survives: whether its requests survive an outage where the command does. Those that do not, since they only say more,
            wait for a new login nevertheless.
    """

    connect: float = 10
    read: float = 60
    attempts: int = 7
    survives: bool = True


class AccessDeniedError(UserError):
    """The caller may not do this.

    Attributes:
        actions: the IAM actions that allow it, such as `s3:PutObject`.
        named: the action that AWS's own message names; None if it names none.
    """

    actions: tuple[str, ...] = ()
    named: str | None = None


class CredentialsError(UserError):
    """There are no credentials, or AWS does not accept them (any more)."""


class _ExpiredError(CredentialsError):
    """The credentials were good once: a new login makes the same request succeed."""


class _UnavailableError(RemoteError):
    """AWS cannot be reached, or cannot respond now. The same request may succeed later."""


class UnknownOperationError(RemoteError):
    """What responds does not know the request: a region without it, or a stand-in for AWS that does not have it."""


class _UntrustedError(_UnavailableError):
    """The certificate of the server is not trusted: a proxy of a company's network, or for a while one of a hotel's."""


# Error codes for "later", with the statuses 500 and above (AWS SDKs reference guide, "Retry behavior").
_LATER = {
    "RequestTimeout",
    "RequestTimeoutException",
    "TooManyRequestsException",
    "SlowDown",
    "PriorRequestNotComplete",
}


def is_outage(error: SagepackError) -> bool:
    """Whether the same request may succeed later: no connection, a service that cannot respond, or expired credentials."""
    return isinstance(error, (_UnavailableError, CredentialsError))


def _ends_by_itself(error: SagepackError) -> bool:
    """Whether waiting helps although no request has succeeded yet: missing keys, for example, come by no waiting."""
    return isinstance(error, (_UnavailableError, _ExpiredError)) and not isinstance(error, _UntrustedError)


# What the user can correct: id of the failure, codes, the class of the error, and what to do.
_MISTAKES: tuple[tuple[str, set[str], type[UserError], str], ...] = (
    (
        "credentials-expired",
        {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"},
        _ExpiredError,
        _LOGIN,
    ),
    (
        "clock",
        {"RequestTimeTooSkewed", "RequestInTheFuture"},
        UserError,
        "set the clock of this machine: AWS accepts requests that were signed within a few minutes of its own time",
    ),
    (
        "credentials-refused",
        {
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
            "AuthFailure",
            "InvalidToken",
        },
        CredentialsError,
        "check the AWS credentials of this shell or profile, and that aws.region is enabled in their account",
    ),
    (
        "quota",
        {"ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"},
        UserError,
        "request a higher quota in Service Quotas, or use another instance type",
    ),
    (
        "region-not-enabled",
        {"OptInRequired", "InvalidRegionException", "PermanentRedirect", "IllegalLocationConstraintException"},
        UserError,
        "correct aws.region, or enable that region in the account",
    ),
    # The service understands the request and would refuse it again.
    (
        "request-refused",
        {"ValidationException", "ValidationError", "InvalidParameterValue", "InvalidParameterException"},
        UserError,
        "correct what the message names",
    ),
)


class _Session:
    """The boto3 session of a connection and its clients, each made when it is first used; making one takes the lock.

    Threads and commands may share one: a client takes longer to make than a plan with nothing to do.

    Attributes:
        connection: its parameters.
        lock: held while boto3 is used for anything but a request.
        generation: how often the credentials were looked for anew.
        clients: by service and patience, with the credentials of this generation.
        has_answered: whether a request has succeeded.
    """

    def __init__(self, connection: AwsConnection) -> None:
        self.connection = connection
        self.lock = threading.RLock()
        self.generation = 0
        self.clients: dict[tuple[str, Patience], Any] = {}
        self.has_answered = False

    def renew(self, refused: int) -> None:
        """Look for credentials anew when the next client is made, unless that was done since those of `refused` were."""
        with self.lock:
            if self.generation == refused:
                self.generation += 1
                self.clients.clear()
                self.__dict__.pop("boto", None)

    def client(self, service: str, patience: Patience) -> Any:
        """The boto3 client of `service`, with the newest credentials."""
        with self.lock:
            key = (service, patience)
            if key not in self.clients:
                self.clients[key] = self._make(service, patience)
            return self.clients[key]

    def _make(self, service: str, patience: Patience) -> Any:
        from botocore.config import Config

        endpoint_url = self.connection.endpoint_url
        config = Config(
            retries={"mode": "standard", "total_max_attempts": patience.attempts},
            max_pool_connections=96,  # as many as publishing has threads, copies and sends together
            connect_timeout=patience.connect,
            read_timeout=patience.read,
            s3={"addressing_style": "path"} if endpoint_url else None,
            proxies={} if endpoint_url else None,
        )
        with _configured():
            # A service that is in a few regions only is asked in one of them.
            return self.boto.client(
                service, region_name=_REGIONS.get(service), endpoint_url=endpoint_url, config=config
            )

    @cached_property
    def boto(self) -> Any:
        import boto3
        import botocore.session

        # The sandbox must not read the user's profiles: a broken one would stop it.
        own = botocore.session.Session(session_vars=_NO_CONFIGURATION if self.connection.endpoint_url else None)
        with _configured():
            own.register_component("data_loader", _descriptions(own.get_config_variable("data_path")))
            return boto3.Session(
                region_name=self.connection.region,
                profile_name=self.connection.profile,
                aws_access_key_id=self.connection.access_key,
                aws_secret_access_key=self.connection.secret_key,
                botocore_session=own,
            )


_sessions: dict[Hashable, _Session] = {}
_sessions_lock = threading.Lock()


def _shared_session(connection: AwsConnection) -> _Session:
    """The session of this process for a connection, as long as what credentials are read from stays the same."""
    key = (connection, *(() if connection.access_key else _surroundings()))
    with _sessions_lock:
        return _sessions.setdefault(key, _Session(connection))


def _surroundings() -> Iterator[Hashable]:
    """What boto3 reads when a session is made: a login or a profile that changes in these is another session."""
    yield from sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))
    for variable, usual in (("AWS_CONFIG_FILE", "config"), ("AWS_SHARED_CREDENTIALS_FILE", "credentials")):
        path = os.environ.get(variable) or f"~/.aws/{usual}"
        with suppress(OSError):
            status = Path(path).expanduser().stat()
            yield variable, status.st_ino, status.st_size, status.st_mtime_ns


class _Command:
    """What one command knows of its requests.

    Attributes:
        outage: that they survive now.
        answers: to the questions that are asked once, by question and generation of the credentials.
    """

    def __init__(self) -> None:
        self.outage: Outage | None = None
        self.answers: dict[tuple[Hashable, int], Any] = {}


class Aws:
    """The clients of one connection for one command, made when first used; boto3 is imported with the first one.

    Its outages are its own: of commands that run at the same time, each tells it where it reports to.

    Args:
        connection: how AWS is reached.
    """

    def __init__(self, connection: AwsConnection) -> None:
        self.connection = connection
        self._session = _Session(connection)
        self._command = _Command()
        self._patience = Patience()
        self._clients: dict[tuple[str, int], Any] = {}
        self._others: dict[Patience, Aws] = {}

    @classmethod
    def shared(cls, connection: AwsConnection) -> Aws:
        """With the boto3 session and the clients that all commands of this process have for the connection."""
        made = cls(connection)
        made._session = _shared_session(connection)
        return made

    def with_patience(self, patience: Patience) -> Aws:
        """The same session, whose credentials are looked for once, with clients that wait longer or shorter."""
        if patience not in self._others:
            other = self._others[patience] = Aws(self.connection)
            other._session, other._command, other._patience = self._session, self._command, patience
        return self._others[patience]

    def renew_credentials(self) -> None:
        """Look for credentials anew before the next request: boto3 would not see that the user has logged in again."""
        self._session.renew(self._session.generation)

    def once(self, ask: Callable[[Aws], _Answer]) -> _Answer:
        """The answer of `ask`, which this command asks once with the same credentials; if it raises, it is asked again."""
        answers, key = self._command.answers, (ask, self._session.generation)
        if key not in answers:
            answers[key] = ask(self)
        found: _Answer = answers[key]
        return found

    @property
    def region(self) -> str:
        """The region of every client."""
        return self.connection.region

    @property
    def credentials_source(self) -> str:
        """Where the credentials come from, in the words of AWS's documentation.

        Raises:
            CredentialsError: there are none.
        """
        with self._session.lock, aws_call("looking for credentials"):
            found = self._session.boto.get_credentials()
            profile = self._session.boto.profile_name
        if found is None:
            raise CredentialsError("there are no AWS credentials", fix=_NO_CREDENTIALS)
        source = _SOURCES.get(found.method, f"the credential provider {found.method!r}")
        return source.format(profile=profile)

    def client(self, service: str) -> Any:
        """The boto3 client of `service`, made once. Threads may share it, and ask for it at the same time."""
        with self._session.lock:
            key = (service, self._session.generation)
            if key not in self._clients:
                shared = self._session.client(service, self._patience)
                # The same connections, events and quota of retries; only its requests go the way of this command.
                own = object.__new__(type(shared))
                own.__dict__.update(vars(shared))
                # There is no event around a whole request, retries and signature included.
                own._make_api_call = partial(self._send, service, shared.meta)
                self._clients[key] = own
            return self._clients[key]

    @contextmanager
    def surviving(self, outage: Outage) -> Iterator[None]:
        """Within the block, requests of this command survive an outage. Of blocks within one another the outermost counts."""
        command = self._command
        if command.outage is not None:
            yield
            return
        command.outage = outage
        try:
            yield
        finally:
            command.outage = None

    def _send(self, service: str, meta: Any, operation: str, parameters: Document) -> Any:
        """Send a request, with the newest credentials whatever client it is sent with, and survive an outage."""
        session, body, outage = self._session, parameters.get("Body"), self._command.outage
        start = body.tell() if isinstance(body, io.IOBase) else 0
        survives, used = self._patience.survives and service not in _EXTRA_SERVICES, session.generation

        def send() -> Any:
            nonlocal used
            if isinstance(body, io.IOBase):
                body.seek(start)
            with session.lock:
                sender = session.client(service, self._patience)  # made anew after a login
                used = session.generation
            answer = sender._make_api_call(operation, dict(parameters))  # noqa: SLF001 - of a copy: botocore adds to it
            session.has_answered = True
            return answer

        def trouble_of(error: Exception) -> Trouble | None:
            found = _explained(error, f"{meta.service_model.service_id} {operation}", meta.endpoint_url)
            if found is None or not (is_outage(found) if session.has_answered else _ends_by_itself(found)):
                return None
            needs_login = isinstance(found, CredentialsError)
            return Trouble(found, needs_login) if survives or needs_login else None

        if outage is not None:
            return outage.survive(send, trouble_of, lambda: session.renew(used))
        try:
            return send()
        except Exception as error:
            if isinstance(_explained(error, operation, None), CredentialsError):
                session.renew(used)  # the next command of this process sees a new login
            raise


@cache
def _descriptions(path: str | None) -> Any:
    """AWS's descriptions of its services, of which each is read once in a process: reading that of S3 takes 50 ms.

    Args:
        path: where the user has more of them (`data_path` of AWS's configuration).
    """
    import botocore.loaders

    return botocore.loaders.create_loader(path)


@contextmanager
def _configured() -> Iterator[None]:
    """Raise boto3's errors about the user's AWS configuration as errors of this program.

    Raises:
        CredentialsError: the profile does not exist.
        UserError: a variable or configuration file cannot be read.
    """
    import botocore.exceptions

    try:
        yield
    except botocore.exceptions.ProfileNotFound as error:
        raise CredentialsError(
            str(error),
            where="aws.profile or AWS_PROFILE",
            fix="name a profile that `aws configure list-profiles` shows",
        ) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise UserError(
            f"boto3 cannot be set up: {error}", where="~/.aws/config or AWS_*", fix="correct that file or variable"
        ) from error


def error_code(error: Exception) -> str:
    """The code of a botocore ClientError, or the name of any other exception's class."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return type(error).__name__


@contextmanager
def aws_call(doing: str, where: str | None = None) -> Iterator[None]:
    """Raise boto3's errors within the block as errors of this program, by who can fix them.

    Args:
        doing: what the block does, for messages, as in "uploading part 3".
        where: the URI, ARN or name of the resource.

    Raises:
        CredentialsError: there are no credentials, or AWS does not accept them.
        AccessDeniedError: the caller has no permission.
        UserError: a quota, or a request that AWS refuses as invalid.
        RemoteError: any other error response, network failures, and a response that is not as the API describes it.
    """
    import botocore.exceptions

    try:
        with checked_response(doing, where):
            yield
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as error:
        raise _explained(error, doing, where) or error from error


def _explained(error: Exception, doing: str, where: str | None) -> SagepackError | None:
    """The error of this program for one of boto3's, or for one that is of this program already; None for any other."""
    import botocore.exceptions as botocore

    if isinstance(error, SagepackError):
        return error
    if isinstance(error, botocore.ClientError):
        return _client_error(error, doing, where)
    if isinstance(error, botocore.BotoCoreError):
        return _botocore_error(error, doing, where)
    return None


def _botocore_error(error: Exception, doing: str, where: str | None) -> SagepackError:
    import botocore.exceptions as botocore

    message = f"{doing} failed: {error}"
    if isinstance(error, (botocore.NoCredentialsError, botocore.PartialCredentialsError)):
        return CredentialsError(
            f"no AWS credentials while {doing}: {error}",
            where=where,
            fix=_NO_CREDENTIALS,
            failure="credentials-missing",
        )
    if isinstance(error, (botocore.CredentialRetrievalError, botocore.SSOError, botocore.TokenRetrievalError)):
        return _ExpiredError(
            f"no usable AWS credentials while {doing}: {error}", where=where, fix=_LOGIN, failure="credentials-expired"
        )
    if isinstance(error, botocore.SSLError):
        fix = "let AWS_CA_BUNDLE name the certificates of your network's proxy, or log in to that network"
        return _UntrustedError(message, where=where, fix=fix, failure="certificate-not-trusted")
    fix = "check the network, aws.region, and AWS_ENDPOINT_URL if it is set, and run the command again"
    if isinstance(error, (botocore.HTTPClientError, botocore.ConnectionError, botocore.IncompleteReadError)):
        return _UnavailableError(message, where=where, fix=fix, failure="network")
    return RemoteError(message, where=where, fix=fix)


@contextmanager
def checked_response(doing: str, where: str | None = None) -> Iterator[None]:
    """Raise an error of this program where a response is not as the API describes it; `aws_call` includes this.

    botocore does not check the responses of a server (or of a proxy that responds in its place): it returns them as they are,
    or fails with any exception. The exceptions that it documents pass unchanged.

    Raises:
        RemoteError: the response has another form than the API's.
    """
    import botocore.exceptions

    try:
        yield
    except (SagepackError, OSError, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        raise
    except Exception as error:
        place = f" ({error})" if isinstance(error, MalformedError) else ""
        raise RemoteError(
            f"{doing} failed: the response is not as AWS describes it{place}",
            where=where,
            fix="check whether a proxy responds in place of AWS (AWS_ENDPOINT_URL*, HTTPS_PROXY), and run the command again",
        ) from error


def _client_error(error: ClientError, doing: str, where: str | None) -> UserError | RemoteError:
    code, text = error_code(error), message_of(error)
    message = f"{doing} failed: {code}: {text}"
    if code == "400" and error.operation_name.startswith("Head"):
        code = "ExpiredToken"  # the response to a HEAD request has no body that could say so
    if code in _DENIED:
        return _denied(error, message, where)
    if _CLOCK_MESSAGE.search(text):
        code = "RequestTimeTooSkewed"
    if code.startswith("KMS."):
        return UserError(message, where=where, fix=_KMS, failure="kms-key")
    for failure, codes, kind, fix in _MISTAKES:
        if code in codes:
            return kind(message, where=where, fix=fix, failure=failure)
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _UNKNOWN_OPERATION or status == HTTPStatus.NOT_IMPLEMENTED or _is_page(error, status):
        return UnknownOperationError(message, where=where)
    is_failure = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    is_later = is_failure or code in _LATER or "Throttl" in code
    if is_later:
        fix = "AWS cannot respond now: run the command again, it continues"
        return _UnavailableError(message, where=where, fix=fix, failure="service-unavailable")
    return RemoteError(message, where=where)


def _is_page(error: ClientError, status: int) -> bool:
    """Whether a web page says 500: moto's for what it does not have. AWS says 500 in its API's words; proxies say 502 to 504."""
    text = str(error.response.get("Error", {}).get("Message", "")).lstrip()
    return status == HTTPStatus.INTERNAL_SERVER_ERROR and text.startswith("<")


def _denied(error: ClientError, message: str, where: str | None) -> AccessDeniedError:
    named = re.search(r"not authorized to perform: ([a-z0-9-]+:\w+)", message)
    actions = (named[1],) if named else actions_of(error.operation_name)
    fix = permission_fix(actions, policy_for(error.operation_name))
    denied = AccessDeniedError(message, where=where, fix=fix, failure="permission-missing")
    if "explicit deny" in message:
        fix = f"{' and '.join(actions)} is denied by a policy that no other policy overrules: ask who wrote it for an exception"
        denied = denied.with_context(fix=fix)
        denied.failure = "permission-denied-by-policy"
    denied.actions, denied.named = actions, named[1] if named else None
    return denied


def permission_fix(actions: Sequence[str], policy: str | None) -> str:
    """What to do where permissions are missing, with the task that prints the policy that has them."""
    printed = f"; `invoke policy --for {policy}` prints the policy for it" if policy else ""
    return f"allow the caller {' and '.join(actions)}{printed}"


def message_of(error: ClientError) -> str:
    """The message of an error response, fit to be shown: a web page in its place is named and not repeated."""
    text = str(error.response.get("Error", {}).get("Message", "")).strip()
    if text.startswith("<"):
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return f"the service responded with a web page (status {status}) instead of a message"
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]} ..."
