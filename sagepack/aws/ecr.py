"""Amazon ECR: the digest that a container image has in its registry now, and the images that a list of images names."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sagepack.aws.session import AccessDeniedError, aws_call, error_code
from sagepack.digest import Digest
from sagepack.errors import UserError

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

    from sagepack.aws.session import Aws

_DENIED = {"AccessDenied", "AccessDeniedException"}
_BY_DIGEST = re.compile(r"(?P<account>\d{12})\.[^/]+/(?P<repository>[^:@]+)(?::[^@]+)?@(?P<digest>sha256:[0-9a-f]{64})")
# Without them ECR gives images of Docker's older form alone, and fails for others.
_ACCEPTED = [
    *("application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"),
    *("application/vnd.docker.distribution.manifest.list.v2+json", "application/vnd.oci.image.index.v1+json"),
]


class NoTagError(UserError):
    """The repository has no image with that tag, or with that digest."""


class NoRepositoryError(UserError):
    """The registry has no repository with that name."""


def image_digest(aws: Aws, registry: str, repository: str, image: str | Digest) -> Digest:
    """The digest that an image of `repository` has now in the registry with the host name `registry`.

    Calls DescribeImages, and if the caller has no permission for it BatchGetImage, which every caller who may pull may call.

    Args:
        aws: the session.
        registry: host name of the registry.
        repository: name of the repository.
        image: a tag, or a digest to find out whether the image still exists.

    Raises:
        NoTagError, NoRepositoryError: the registry has no such image or repository.
        AccessDeniedError: the caller has neither permission.
    """
    import botocore.exceptions

    by_tag = isinstance(image, str)
    where = f"{registry}/{repository}{':' if by_tag else '@'}{image}"
    missing = NoTagError(f"the repository has no image with this {'tag' if by_tag else 'digest'}", where=where)
    request = {"registryId": registry.partition(".")[0], "repositoryName": repository}
    images = [{"imageTag" if by_tag else "imageDigest": str(image)}]
    client = aws.client("ecr")
    with aws_call("looking for the image", where):
        try:
            details = client.describe_images(**request, imageIds=images)["imageDetails"]
            if not details:
                raise UserError("the registry describes no such image", where=where)
            return Digest.parse(details[0]["imageDigest"])
        except botocore.exceptions.ClientError as error:
            if error_code(error) not in _DENIED:
                raise _explained(error, missing) from error
        try:
            response = client.batch_get_image(**request, imageIds=images, acceptedMediaTypes=_ACCEPTED)
            if not response["images"]:
                raise _failed(response["failures"], missing)
            return Digest.parse(response["images"][0]["imageId"]["imageDigest"])
        except botocore.exceptions.ClientError as error:
            raise _explained(error, missing) from error


def members(aws: Aws, uri: str) -> frozenset[str]:
    """The digests of the images for each platform that the image `uri`, by digest, names; none for a single image.

    Raises:
        UserError: it is no URI of an image by digest, or the registry does not give it.
        RemoteError: the network or the registry failed after retries.
    """
    name = _BY_DIGEST.fullmatch(uri)
    if name is None:
        raise UserError("not the URI of an image in Amazon ECR, by digest", where=uri)
    images = [{"imageDigest": name["digest"]}]
    request = {"registryId": name["account"], "repositoryName": name["repository"], "imageIds": images}
    with aws_call("looking for the image", uri):
        response = aws.client("ecr").batch_get_image(**request, acceptedMediaTypes=_ACCEPTED)
        if not response["images"]:
            raise _failed(response["failures"], NoTagError("the repository has no image with this digest", where=uri))
        manifest = json.loads(response["images"][0]["imageManifest"])
        return frozenset(str(each["digest"]) for each in manifest.get("manifests", ()))


def _failed(failures: list[dict[str, str]], missing: NoTagError) -> UserError:
    """The error for an image that BatchGetImage does not return: it is not there, or the registry says why it does not."""
    failure = failures[0] if failures else {}
    if failure.get("failureCode", "ImageNotFound") in {"ImageNotFound", "ImageTagDoesNotMatchDigest"}:
        return missing
    return UserError(f"the registry does not give the image: {failure.get('failureReason')}", where=missing.where)


def _explained(error: ClientError, missing: NoTagError) -> Exception:
    code = error_code(error)
    if code == "ImageNotFoundException":
        return missing
    if code == "RepositoryNotFoundException":
        return NoRepositoryError("the registry has no repository with this name", where=missing.where)
    if code in _DENIED:
        fix = "give the caller ecr:DescribeImages or ecr:BatchGetImage on the registry of the image"
        return AccessDeniedError(f"the registry may not be read: {error}", where=missing.where, fix=fix)
    other: Exception = error  # `aws_call` translates it
    return other
