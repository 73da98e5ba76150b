"""An AWS session: boto3 clients with this program's retries and endpoints, and errors that say what to do."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.decoding import MalformedError
from sagepack.errors import RemoteError, SagepackError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from botocore.exceptions import ClientError

# A request or a response of an AWS API, in the API's own names.
Document = dict[str, Any]

_LOGIN = "log in again (`aws sso login`, or new keys) and run the same command: it continues where it stopped"
_EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
_BAD_KEYS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "AuthFailure",
    "InvalidToken",
}
_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "AuthorizationError"}
_QUOTA = {"ResourceLimitExceeded", "LimitExceededException", "ServiceQuotaExceededException"}


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


class Aws:
    """The clients of one connection, made when first used; boto3 is imported with the first one."""

    def __init__(self, connection: AwsConnection) -> None:
        self.connection = connection
        self._clients: dict[str, Any] = {}

    @property
    def region(self) -> str:
        """The region of every client."""
        return self.connection.region

    @cached_property
    def _session(self) -> Any:
        import boto3
        import botocore.session

        # The sandbox must not read the user's profiles: a broken one would stop it.
        own = botocore.session.Session(session_vars=_NO_CONFIGURATION) if self.connection.endpoint_url else None
        with _configured():
            return boto3.Session(
                region_name=self.connection.region,
                profile_name=self.connection.profile,
                aws_access_key_id=self.connection.access_key,
                aws_secret_access_key=self.connection.secret_key,
                botocore_session=own,
            )

    def client(self, service: str) -> Any:
        """The boto3 client of `service`, made once; clients are safe to share between threads."""
        if service not in self._clients:
            from botocore.config import Config

            config = Config(
                retries={"mode": "standard", "max_attempts": 6},
                max_pool_connections=32,
                connect_timeout=10,
                read_timeout=60,
                s3={"addressing_style": "path"} if self.connection.endpoint_url else None,
                proxies={} if self.connection.endpoint_url else None,
            )
            with _configured():
                self._clients[service] = self._session.client(
                    service, endpoint_url=self.connection.endpoint_url, config=config
                )
        return self._clients[service]


@contextmanager
def _configured() -> Iterator[None]:
    """Raise boto3's errors about the user's AWS configuration as errors of this program.

    Raises:
        UserError: the profile does not exist, or a variable or configuration file cannot be read.
    """
    import botocore.exceptions

    try:
        yield
    except botocore.exceptions.ProfileNotFound as error:
        raise UserError(
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
        UserError: credentials, permission or quota.
        RemoteError: any other error response, network failures, and a response that is not as the API describes it.
    """
    import botocore.exceptions

    try:
        with checked_response(doing, where):
            yield
    except botocore.exceptions.ClientError as error:
        raise _client_error(error, doing, where) from error
    except (
        botocore.exceptions.NoCredentialsError,
        botocore.exceptions.PartialCredentialsError,
        botocore.exceptions.CredentialRetrievalError,
        botocore.exceptions.SSOError,
        botocore.exceptions.TokenRetrievalError,
    ) as error:
        raise UserError(f"no usable AWS credentials while {doing}: {error}", where=where, fix=_LOGIN) from error
    except botocore.exceptions.BotoCoreError as error:
        raise RemoteError(
            f"{doing} failed: {error}", where=where, fix="check the network and run the command again"
        ) from error


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
    code, text = error_code(error), error.response.get("Error", {}).get("Message", "")
    message = f"{doing} failed: {code}: {text}"
    if code in _EXPIRED:
        return UserError(message, where=where, fix=_LOGIN)
    if code in _BAD_KEYS:
        return UserError(message, where=where, fix="check the AWS credentials of this shell or profile")
    if code in _DENIED or code == "403":
        return UserError(message, where=where, fix=f"give the caller the permission for {error.operation_name}")
    if code in _QUOTA:
        return UserError(
            message, where=where, fix="request a higher quota in Service Quotas, or use another instance type"
        )
    return RemoteError(message, where=where)
