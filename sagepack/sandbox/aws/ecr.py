"""ECR's operations on AWS's registries of deep learning containers, which moto does not have."""

from __future__ import annotations

import json
from typing import Any

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting_rules import AwsError
from sagepack.spec import images

Document = dict[str, Any]
_PUSHED = 1_765_000_000.0
_BYTES = 9_876_543_210
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
OPERATIONS = frozenset({"DescribeImages", "BatchGetImage"})


def is_ours(operation: str, body: Document) -> bool:
    """Whether the call is for one of those registries."""
    return operation in OPERATIONS and body.get("registryId") in moto_state.registry_accounts()


def call(operation: str, body: Document) -> Document:
    """Carry out an operation and return its answer.

    Raises:
        AwsError: repository or image is not there.
    """
    repository = body["repositoryName"]
    if repository != images.repository():
        message = (
            f"The repository with name '{repository}' does not exist in the registry with id '{body['registryId']}'"
        )
        raise AwsError("RepositoryNotFoundException", message)
    if operation == "DescribeImages":
        return {"imageDetails": _details(body, repository)}
    return _batch(body, repository)


def _tags(repository: str) -> dict[str, str]:
    """Digest -> tag of every image."""
    return {moto_state.tag_digest(repository, tag): tag for tag in images.known_tags()}


def _find(wanted: Document, repository: str) -> tuple[str, str] | None:
    """Digest and tag of the image that `wanted` names by either."""
    held = _tags(repository)
    digest = wanted.get("imageDigest") or moto_state.tag_digest(repository, wanted.get("imageTag", ""))
    return (digest, held[digest]) if digest in held else None


def _details(body: Document, repository: str) -> list[Document]:
    found = []
    for wanted in body.get("imageIds") or [{"imageDigest": digest} for digest in _tags(repository)]:
        image = _find(wanted, repository)
        if image is None:
            shown = ", ".join(f"{key}:'{value}'" for key, value in sorted(wanted.items()))
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


def _batch(body: Document, repository: str) -> Document:
    images_found, failures = [], []
    for wanted in body["imageIds"]:
        image = _find(wanted, repository)
        if image is None:
            reason = {"failureCode": "ImageNotFound", "failureReason": "Requested image not found"}
            failures.append({"imageId": wanted, **reason})
            continue
        manifest = json.dumps({"schemaVersion": 2, "mediaType": _MANIFEST, "layers": []})
        identity = {"imageDigest": image[0], "imageTag": image[1]}
        held = {"registryId": body["registryId"], "repositoryName": repository, "imageId": identity}
        images_found.append({**held, "imageManifest": manifest, "imageManifestMediaType": _MANIFEST})
    return {"images": images_found, "failures": failures}
