"""Container images by tag: what the registry says a tag means today."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.remote.aws import answered, error_code
from sagepack.spec import images

if TYPE_CHECKING:
    from sagepack.remote.aws import Aws
    from sagepack.spec.model import Image

_NO_TAG = {"ImageNotFoundException"}
_NO_REPOSITORY = {"RepositoryNotFoundException"}
_DENIED = {"AccessDenied", "AccessDeniedException"}


def resolve(aws: Aws, image: Image, region: str) -> tuple[str, Digest]:
    """Host of the registry that serves `image` in `region`, and the digest that its tag has there now.

    DescribeImages is asked first; BatchGetImage, which everybody who may pull may call, where that is not allowed.

    Raises:
        UserError: the tag or repository is not there, or the registry may not be read.
    """
    import botocore.exceptions

    host = images.registry(region, image.account)
    where = f"{host}/{image.repository}:{image.tag}"
    asked = {"registryId": host.partition(".")[0], "repositoryName": image.repository}
    client = aws.client("ecr")
    with answered("resolving the image tag", where):
        try:
            return host, _described(client, asked, image.tag, where)
        except botocore.exceptions.ClientError as error:
            if error_code(error) not in _DENIED:
                raise _explained(error, image, where) from error
        try:
            return host, _got(client, asked, image, where)
        except botocore.exceptions.ClientError as error:
            raise _explained(error, image, where) from error


def _described(client: Any, asked: dict[str, str], tag: str, where: str) -> Digest:
    details = client.describe_images(**asked, imageIds=[{"imageTag": tag}])["imageDetails"]
    if not details:
        raise UserError("the registry describes no image of this tag", where=where)
    return Digest.parse(details[0]["imageDigest"])


def _got(client: Any, asked: dict[str, str], image: Image, where: str) -> Digest:
    found = client.batch_get_image(**asked, imageIds=[{"imageTag": image.tag}])["images"]
    if not found:
        raise _no_tag(image, where)
    return Digest.parse(found[0]["imageId"]["imageDigest"])


def _explained(error: Any, image: Image, where: str) -> Exception:
    code = error_code(error)
    if code in _NO_TAG:
        return _no_tag(image, where)
    if code in _NO_REPOSITORY:
        near = difflib.get_close_matches(image.repository, [images.repository()])
        fix = f"did you mean {' or '.join(near)}?" if near else "check image.repository, image.account and the region"
        return UserError(f"the registry has no repository {image.repository!r}", where=where, fix=fix)
    if code in _DENIED:
        fix = "allow the caller ecr:DescribeImages or ecr:BatchGetImage on the registry of the image"
        return UserError(f"the registry may not be read: {error}", where=where, fix=fix)
    other: Exception = error  # what `answered` knows
    return other


def _no_tag(image: Image, where: str) -> UserError:
    known = images.known_tags() if image.repository == images.repository() else ()
    near = difflib.get_close_matches(image.tag, known, n=3)
    fix = f"did you mean {' or '.join(near)}?" if near else "see the list of AWS deep learning container images"
    return UserError(f"the registry has no tag {image.tag!r} in {image.repository!r}", where=where, fix=fix)
