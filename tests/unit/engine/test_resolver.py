from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import ANY
from msgspec import structs

from sagepack.digest import Digest
from sagepack.engine.resolver import brought, find_image
from sagepack.errors import RemoteError, UserError
from sagepack.package.lock import LockedPackage
from sagepack.spec.model import Image
from tests.helpers.deployments import IMAGE, stubbed

TAGGED = Image("huggingface-pytorch-inference", IMAGE)
DIGEST = Digest.sha256(b"image")
HOST = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
ASKED: dict[str, Any] = {
    "registryId": "763104351884",
    "repositoryName": "huggingface-pytorch-inference",
    "imageIds": [{"imageTag": IMAGE}],
}


def test_what_is_packed_is_told_with_the_packages_that_the_image_probably_has() -> None:
    film = LockedPackage("film", "1.0", "film-1.0-py3-none-any.whl", 2048, DIGEST)
    numpy = LockedPackage("numpy", "1.26.4", "numpy-1.26.4-py3-none-any.whl", 4096, DIGEST, image="1.26.4")
    assert brought([film, numpy], packed=True) == (
        "packed: film 1.0 (2.0 KiB); 2.0 KiB together; and 4.0 KiB that the image probably has: numpy"
    )
    assert (
        brought([film, numpy], packed=False)
        == "installed at each start of a container: film 1.0 (2.0 KiB); 2.0 KiB together"
    )
    assert brought([numpy], packed=True) == ""


def test_a_tag_resolves_to_what_the_regions_registry_holds() -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_response("describe_images", {"imageDetails": [{"imageDigest": str(DIGEST)}]}, ASKED)
    assert find_image(aws, TAGGED, "us-east-1") == (HOST, DIGEST)


def test_an_account_of_the_spec_is_the_registry() -> None:
    aws, stubs = stubbed("ecr")
    asked = {**ASKED, "registryId": "111122223333"}
    stubs["ecr"].add_response("describe_images", {"imageDetails": [{"imageDigest": str(DIGEST)}]}, asked)
    own = structs.replace(TAGGED, account="111122223333")
    assert find_image(aws, own, "us-east-1") == (HOST.replace("763104351884", "111122223333"), DIGEST)


def test_who_may_only_pull_can_resolve_too() -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_client_error("describe_images", "AccessDeniedException", "not authorized")
    found = {"images": [{"imageId": {"imageDigest": str(DIGEST), "imageTag": IMAGE}}]}
    stubs["ecr"].add_response("batch_get_image", found, {**ASKED, "acceptedMediaTypes": ANY})
    assert find_image(aws, TAGGED, "us-east-1") == (HOST, DIGEST)


def test_a_mistyped_tag_is_reported_with_what_was_meant() -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_client_error("describe_images", "ImageNotFoundException", "no")
    with pytest.raises(UserError) as caught:
        find_image(aws, structs.replace(TAGGED, tag=IMAGE.replace("cu124", "cu123")), "us-east-1")
    assert caught.value.fix is not None
    assert IMAGE in caught.value.fix
    assert caught.value.where is not None
    assert caught.value.where.startswith(HOST)


def test_a_tag_that_cannot_be_pulled_is_reported() -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_client_error("describe_images", "AccessDeniedException", "not authorized")
    stubs["ecr"].add_response("batch_get_image", {"images": [], "failures": [{"failureCode": "ImageNotFound"}]})
    with pytest.raises(UserError, match="no image with this tag"):
        find_image(aws, TAGGED, "us-east-1")


def test_an_image_that_the_registry_does_not_give_is_no_missing_tag() -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_client_error("describe_images", "AccessDeniedException", "not authorized")
    failure = {"failureCode": "UpstreamAccessDenied", "failureReason": "the upstream registry refuses"}
    stubs["ecr"].add_response("batch_get_image", {"images": [], "failures": [failure]})
    with pytest.raises(UserError, match="the upstream registry refuses"):
        find_image(aws, TAGGED, "us-east-1")


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        ("RepositoryNotFoundException", UserError, "no repository with this name"),
        ("AccessDeniedException", UserError, "may not be read"),
        ("ServerException", RemoteError, "ServerException"),
    ],
)
def test_refusals_of_the_registry_are_reported_by_who_can_fix_them(code: str, kind: type[Exception], text: str) -> None:
    aws, stubs = stubbed("ecr")
    stubs["ecr"].add_client_error("describe_images", "AccessDeniedException", "not authorized")
    stubs["ecr"].add_client_error("batch_get_image", code, "no", http_status_code=400)
    with pytest.raises(kind, match=text):
        find_image(aws, TAGGED, "us-east-1")
