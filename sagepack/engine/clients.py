"""The clients of the services that a build speaks to."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.s3_types import WriteOptions
from sagepack.aws.session import Aws, AwsConnection
from sagepack.hub.address import VARIABLE
from sagepack.hub.client import Hub

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.spec.model import Artifact


@dataclass(frozen=True)
class Connections:
    """How the services are reached: real ones, or the sandbox.

    Attributes:
        aws: connection of AWS.
        hub_url: the Hub's URL; None means the client's own (`HF_ENDPOINT` or huggingface.co).
        hub_token: token of the sandbox's Hub; None means `HF_TOKEN` or the client's login.
        hub_source: who named `hub_url`, for messages and for who gets a token (see `HubAddress`).
    """

    aws: AwsConnection
    hub_url: str | None = None
    hub_token: str | None = field(default=None, repr=False)
    hub_source: str = VARIABLE


class Clients:
    """AWS, S3 and the Hub, each made when it is first used.

    Attributes:
        connections: how they are reached.

    Args:
        connections: how they are reached.
        artifact: what the spec wants of objects in S3.
        hub_cache: Hugging Face cache folder (that of all repositories).
        notify: called with a line when the Hub makes the caller wait.
    """

    def __init__(
        self, connections: Connections, artifact: Artifact, hub_cache: Path, notify: Callable[[str], None]
    ) -> None:
        self.connections = connections
        self._artifact = artifact
        self.aws = Aws.shared(connections.aws)
        self.hub = Hub(
            connections.hub_url, connections.hub_token, hub_cache, notify=notify, source=connections.hub_source
        )

    @cached_property
    def s3(self) -> S3:
        """S3, with the write options of the spec."""
        return S3(self.aws.client("s3"), write_options(self._artifact))


def write_options(artifact: Artifact) -> WriteOptions:
    """What the spec declares about every object that is written."""
    return WriteOptions(
        bucket=S3Uri.parse(artifact.target).bucket,
        owner=artifact.expected_bucket_owner,
        sse=artifact.sse,
        kms_key_id=artifact.kms_key_id,
        storage_class=artifact.storage_class,
        tags=artifact.tags,
    )
