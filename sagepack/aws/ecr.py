"""Container images by tag: what a registry says a tag means today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.session import answered, error_code
from sagepack.digest import Digest
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

_NO_TAG = {"ImageNotFoundException"}
_NO_REPOSITORY = {"RepositoryNotFoundException"}
_DENIED = {"AccessDenied", "AccessDeniedException"}


class NoTagError(UserError):
    """The repository has no image of that tag."""


class NoRepositoryError(UserError):
    """The registry has no repository of that name."""


def image_digest(aws: Aws, registry: str, repository: str, tag: str) -> Digest:
    """The digest that `tag` of `repository` has now in the registry with the host `registry`.

    DescribeImages is asked first; BatchGetImage, which everybody who may pull may call, where that is not allowed.

    Raises:
        NoTagError, NoRepositoryError: it is not there.
        UserError: the registry may not be read.
    """
    import botocore.exceptions

    where = f"{registry}/{repository}:{tag}"
    request = {"registryId": registry.partition(".")[0], "repositoryName": repository}
    client = aws.client("ecr")
    with answered("resolving the image tag", where):
        try:
            return _described(client, request, tag, where)
        except botocore.exceptions.ClientError as error:
            if error_code(error) not in _DENIED:
                raise _explained(error, where) from error
        try:
            return _got(client, request, tag, where)
        except botocore.exceptions.ClientError as error:
            raise _explained(error, where) from error


def _described(client: Any, request: dict[str, str], tag: str, where: str) -> Digest:
    details = client.describe_images(**request, imageIds=[{"imageTag": tag}])["imageDetails"]
    if not details:
        raise UserError("the registry describes no image of this tag", where=where)
    return Digest.parse(details[0]["imageDigest"])


def _got(client: Any, request: dict[str, str], tag: str, where: str) -> Digest:
    found = client.batch_get_image(**request, imageIds=[{"imageTag": tag}])["images"]
    if not found:
        raise NoTagError("the repository has no image with this tag", where=where)
    return Digest.parse(found[0]["imageId"]["imageDigest"])


def _explained(error: Any, where: str) -> Exception:
    code = error_code(error)
    if code in _NO_TAG:
        return NoTagError("the repository has no image with this tag", where=where)
    if code in _NO_REPOSITORY:
        return NoRepositoryError("the registry has no repository with this name", where=where)
    if code in _DENIED:
        fix = "allow the caller ecr:DescribeImages or ecr:BatchGetImage on the registry of the image"
        return UserError(f"the registry may not be read: {error}", where=where, fix=fix)
    other: Exception = error  # what `answered` knows
    return other
