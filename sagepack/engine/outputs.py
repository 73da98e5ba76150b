"""What the steps of a build make, for users and for other programs."""

from __future__ import annotations

from sagepack.decoding import Value


class Archive(Value, frozen=True):
    """The local archive: its path, its bytes, and the SHA-256 of them."""

    path: str
    size: int
    sha256: str


class Published(Value, frozen=True):
    """The package in S3: the address that SageMaker takes."""

    uri: str


class LiveEndpoint(Value, frozen=True):
    """The endpoint that serves the package: names and ARN as AWS has them."""

    name: str
    arn: str
    region: str
    model: str
    config: str
