"""Amazon ECR: the digest that a tag of a container image has in its registry now."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.session import aws_call, error_code
from sagepack.digest import Digest
from sagepack.errors import UserError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

    from sagepack.aws.session import Aws

_DENIED = {"AccessDenied", "AccessDeniedException"}


class NoTagError(UserError):
    """The repository has no image with that tag."""


class NoRepositoryError(UserError):
    """The registry has no repository with that name."""


def image_digest(aws: Aws, registry: str, repository: str, tag: str) -> Digest:
    """The digest that `tag` of `repository` has now in the registry with the host name `registry`.

    Calls DescribeImages, and if the caller has no permission for it BatchGetImage, which every caller who may pull may call.

    Raises:
        NoTagError, NoRepositoryError: the registry has no such image or repository.
        UserError: the caller has neither permission.
    """
    import botocore.exceptions

    where = f"{registry}/{repository}:{tag}"
    request = {"registryId": registry.partition(".")[0], "repositoryName": repository}
    client = aws.client("ecr")
    with aws_call("resolving the image tag", where):
        try:
            details = client.describe_images(**request, imageIds=[{"imageTag": tag}])["imageDetails"]
            if not details:
                raise UserError("the registry describes no image with this tag", where=where)
            return Digest.parse(details[0]["imageDigest"])
        except botocore.exceptions.ClientError as error:
            if error_code(error) not in _DENIED:
                raise _explained(error, where) from error
        try:
            images = client.batch_get_image(**request, imageIds=[{"imageTag": tag}])["images"]
            if not images:
                raise NoTagError("the repository has no image with this tag", where=where)
            return Digest.parse(images[0]["imageId"]["imageDigest"])
        except botocore.exceptions.ClientError as error:
            raise _explained(error, where) from error


def _explained(error: ClientError, where: str) -> Exception:
    code = error_code(error)
    if code == "ImageNotFoundException":
        return NoTagError("the repository has no image with this tag", where=where)
    if code == "RepositoryNotFoundException":
        return NoRepositoryError("the registry has no repository with this name", where=where)
    if code in _DENIED:
        fix = "give the caller ecr:DescribeImages or ecr:BatchGetImage on the registry of the image"
        return UserError(f"the registry may not be read: {error}", where=where, fix=fix)
    other: Exception = error  # `aws_call` translates it
    return other
