"""One AWS session: clients with the retries and endpoints this program wants, and errors a person can act on."""

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
    """How AWS is reached.

    Attributes:
        region: region of every client.
        profile: profile of the shared configuration; None means boto3's own search.
        endpoint_url: one URL for every service (the sandbox); None means AWS, or what `AWS_ENDPOINT_URL*` say.
        access_key, secret_key: fixed credentials of the sandbox; None means boto3's own search.
    """

    region: str
    profile: str | None = None
    endpoint_url: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)


class Aws:
    """Makes clients on demand; importing boto3 waits until the first one."""

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

        # The sandbox has nothing to do with the user's profiles, good or bad.
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

    def account(self) -> str:
        """The account id of the caller (sts:GetCallerIdentity)."""
        with translated("asking who the caller is"):
            return str(self.client("sts").get_caller_identity()["Account"])


@contextmanager
def _configured() -> Iterator[None]:
    """Turn what boto3 finds wrong with the user's profiles and variables into errors of this program.

    Raises:
        UserError: a profile that does not exist, or a setting or file that cannot be read.
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
            f"boto3 cannot be set up: {error}", where="~/.aws/config or AWS_*", fix="mend that file or variable"
        ) from error


def error_code(error: Exception) -> str:
    """The code of a botocore ClientError, or the name of any other exception's class."""
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return str(response.get("Error", {}).get("Code", ""))
    return type(error).__name__


@contextmanager
def translated(doing: str, where: str | None = None) -> Iterator[None]:
    """Turn what boto3 raises within into errors of this program: who can mend it, and how.

    Args:
        doing: what was being done, as in "uploading part 3".
        where: the URI or ARN it was done to.

    Raises:
        UserError: credentials, permission or quota.
        RemoteError: anything else a service answered, and broken connections.
    """
    import botocore.exceptions

    try:
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
def understood(doing: str, where: str | None = None) -> Iterator[None]:
    """Turn an answer that is not as the API describes it into an error of this program.

    botocore gives out what a server, or a proxy in its place, answered without checking it, and fails in any way at all on
    an answer of another shape. What it raises on purpose passes.

    Raises:
        RemoteError: the answer makes no sense.
    """
    import botocore.exceptions

    try:
        yield
    except (SagepackError, OSError, botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError):
        raise
    except Exception as error:
        place = f" ({error})" if isinstance(error, MalformedError) else ""
        raise RemoteError(
            f"{doing} failed: the answer is not as AWS describes it{place}",
            where=where,
            fix="look whether a proxy answers in its place (AWS_ENDPOINT_URL*, HTTPS_PROXY), and run the command again",
        ) from error


@contextmanager
def answered(doing: str, where: str | None = None) -> Iterator[None]:
    """`translated` for a block that also reads what AWS answered.

    Raises:
        UserError, RemoteError: as for `translated` and `understood`.
    """
    with translated(doing, where), understood(doing, where):
        yield


def _client_error(error: Any, doing: str, where: str | None) -> UserError | RemoteError:
    code, text = error_code(error), error.response.get("Error", {}).get("Message", "")
    message = f"{doing} failed: {code}: {text}"
    if code in _EXPIRED:
        return UserError(message, where=where, fix=_LOGIN)
    if code in _BAD_KEYS:
        return UserError(message, where=where, fix="check the AWS credentials of this shell or profile")
    if code in _DENIED or code == "403":
        return UserError(message, where=where, fix=f"the caller lacks the permission for {error.operation_name}")
    if code in _QUOTA:
        return UserError(
            message, where=where, fix="ask for a higher quota in Service Quotas, or use another instance type"
        )
    return RemoteError(message, where=where)
