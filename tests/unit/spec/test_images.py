"""The table of images: registries by region, tags by grammar."""

from __future__ import annotations

import pytest

from sagepack.errors import UserError
from sagepack.spec import images


@pytest.mark.parametrize(
    ("region", "account", "host"),
    [
        ("us-east-1", None, "763104351884.dkr.ecr.us-east-1.amazonaws.com"),
        ("eu-south-1", None, "692866216735.dkr.ecr.eu-south-1.amazonaws.com"),
        ("us-gov-west-1", None, "442386744353.dkr.ecr.us-gov-west-1.amazonaws.com"),
        ("cn-north-1", None, "727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn"),
        ("us-iso-east-1", None, "886529160074.dkr.ecr.us-iso-east-1.c2s.ic.gov"),
        ("us-isob-east-1", None, "094389454867.dkr.ecr.us-isob-east-1.sc2s.sgov.gov"),
        ("us-east-1", "111122223333", "111122223333.dkr.ecr.us-east-1.amazonaws.com"),
        ("xx-new-1", "111122223333", "111122223333.dkr.ecr.xx-new-1.amazonaws.com"),
    ],
)
def test_the_registry_is_that_of_the_region(region: str, account: str | None, host: str) -> None:
    assert images.registry(region, account) == host


def test_an_unknown_region_without_an_account_is_refused() -> None:
    with pytest.raises(UserError, match="us-east-9"):
        images.registry("us-east-9")


def test_every_known_tag_is_in_the_grammar_and_has_contents() -> None:
    assert len(set(images.known_tags())) == len(images.known_tags()) > 10
    for tag in images.known_tags():
        facts, packages = images.parse_tag(tag), images.packages(tag)
        assert facts is not None
        assert packages["torch"] == facts.framework
        assert packages["transformers"] == facts.transformers
        assert (facts.cuda is None) == (facts.device == "cpu")


def test_a_tag_says_what_is_in_the_image() -> None:
    facts = images.parse_tag("2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04")
    assert facts == images.TagFacts("2.6.0", "4.51.3", "gpu", (3, 12), (12, 4))
    assert images.parse_tag("1.13.1-transformers4.26.0-cpu-py39-ubuntu20.04-v1.2") == images.TagFacts(
        "1.13.1", "4.26.0", "cpu", (3, 9), None
    )
    assert images.parse_tag("latest") is None


@pytest.mark.parametrize(
    ("tag", "package", "version"),
    [
        ("2.3.0-transformers4.48.0-gpu-py311-cu121-ubuntu22.04", "accelerate", "1.0.1"),
        ("2.3.0-transformers4.48.0-cpu-py311-ubuntu22.04", "accelerate", "1.1.0"),
        ("2.0.0-transformers4.28.1-gpu-py310-cu118-ubuntu20.04", "diffusers", "0.23.1"),
        ("2.0.0-transformers4.28.1-cpu-py310-ubuntu20.04", "diffusers", "0.16.1"),
    ],
)
def test_the_images_for_cpu_and_gpu_of_a_release_may_hold_other_versions(tag: str, package: str, version: str) -> None:
    assert images.packages(tag)[package] == version


def test_a_release_of_a_tag_has_the_contents_of_the_tag() -> None:
    tag = images.known_tags()[-1]
    assert images.packages(f"{tag}-v2.1") == images.packages(tag) != {}
    assert images.packages(f"{tag}x") == {}


def test_every_region_has_an_account_of_twelve_digits() -> None:
    for region in images.regions():
        account = images.account(region)
        assert account is not None
        assert len(account) == 12
        assert account.isdigit()
        assert images.partition(region).startswith("aws")
