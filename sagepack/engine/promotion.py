"""What a run publishes that copies the package of another environment, instead of making one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3Uri
    from sagepack.deploy.origin import Origin
    from sagepack.package.attest.dsse import Verifier


class Promotion(Value, frozen=True):
    """A package that was deployed in another environment.

    Attributes:
        origin: the release that it is of.
        package: the folder of the package in S3.
        keys: one of them must have signed it; none if nobody has to.
    """

    origin: Origin
    package: S3Uri
    keys: tuple[Verifier, ...] = ()
