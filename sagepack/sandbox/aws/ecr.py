"""ECR's operations on AWS's own registries of deep learning containers, which moto does not have."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.wsgi import AwsError
from sagepack.spec import images

if TYPE_CHECKING:
    from sagepack.sandbox.aws.wsgi import JsonObject

OPERATIONS = frozenset({"DescribeImages", "BatchGetImage"})
# Made-up values of every image: the time of its push (epoch seconds) and its size.
_PUSHED = 1_765_000_000.0
_BYTES = 9_876_543_210
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def handles(operation: str, body: JsonObject) -> bool:
    """Whether an operation is one of these, on one of those registries."""
    return operation in OPERATIONS and body.get("registryId") in moto_state.registry_accounts()


def call(operation: str, body: JsonObject) -> JsonObject:
    """Execute an operation and return its response.

    Raises:
        AwsError: the repository or an image does not exist.
    """
    repository = body["repositoryName"]
    if repository != images.repository():
        message = (
            f"The repository with name '{repository}' does not exist in the registry with id '{body['registryId']}'"
        )
        raise AwsError("RepositoryNotFoundException", message)
    if operation == "DescribeImages":
        return {"imageDetails": _details(body, repository)}
    return _batch_get(body, repository)


def _tags(repository: str) -> dict[str, str]:
    """Digest -> tag of every image in `repository`."""
    return {moto_state.tag_digest(repository, tag): tag for tag in images.known_tags()}


def _find(image_id: JsonObject, repository: str) -> tuple[str, str] | None:
    """Digest and tag of the image with the digest or tag of `image_id`."""
    tags = _tags(repository)
    digest = image_id.get("imageDigest") or moto_state.tag_digest(repository, image_id.get("imageTag", ""))
    return (digest, tags[digest]) if digest in tags else None


def _details(body: JsonObject, repository: str) -> list[JsonObject]:
    found = []
    for image_id in body.get("imageIds") or [{"imageDigest": digest} for digest in _tags(repository)]:
        image = _find(image_id, repository)
        if image is None:
            shown = ", ".join(f"{key}:'{value}'" for key, value in sorted(image_id.items()))
            message = (
                f"The image with imageId {{{shown}}} does not exist within the repository with name "
                f"'{repository}' in the registry with id '{body['registryId']}'"
            )
            raise AwsError("ImageNotFoundException", message)
        found.append(image)
    return [
        {
            "registryId": body["registryId"],
            "repositoryName": repository,
            "imageDigest": digest,
            "imageTags": [tag],
            "imageSizeInBytes": _BYTES,
            "imagePushedAt": _PUSHED,
            "imageManifestMediaType": _MANIFEST,
        }
        for digest, tag in found
    ]


def _batch_get(body: JsonObject, repository: str) -> JsonObject:
    images_found, failures = [], []
    for image_id in body["imageIds"]:
        image = _find(image_id, repository)
        if image is None:
            reason = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            failures.append({"imageId": image_id, **reason})
            continue
        manifest = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "layers": []})
        identity = {"imageDigest": image[0], "imageTag": image[1]}
        described = {"registryId": body["registryId"], "repositoryName": repository, "imageId": identity}
        images_found.append({**described, "imageManifest": manifest, "imageManifestMediaType": _MANIFEST})
    return {"images": images_found, "failures": failures}
