"""What the steps of a build make, for users and for other programs."""

from __future__ import annotations

from sagepack.decoding import Value


class Archive(Value, frozen=True):
    """The local archive.

    Attributes:
        path: path of the file.
        size: its bytes.
        sha256: SHA-256 of these bytes, in hex.
    """

    path: str
    size: int
    sha256: str


class Published(Value, frozen=True):
    """The package in S3.

    Attributes:
        uri: the address that SageMaker takes.
    """

    uri: str


class LiveEndpoint(Value, frozen=True):
    """The endpoint that serves the package.

    Attributes:
        name: name of the endpoint.
        arn: its ARN.
        region: where it is.
        model: name of the model that it serves.
        config: name of its configuration.
        console: address of its page in the AWS console; null for the sandbox.
        log: address of its container's log in the AWS console; null for the sandbox.
    """

    name: str
    arn: str
    region: str
    model: str
    config: str
    console: str | None = None
    log: str | None = None
