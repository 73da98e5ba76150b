"""The bill of materials: what no validator of CycloneDX looks at, for any package."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from msgspec.structs import replace

from sagepack.api import results
from sagepack.package.attest import sbom
from sagepack.package.license import License
from tests.helpers.bills import COMMIT, packaged, packages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.helpers.bills import Packaged

# purl-spec: type, namespace and name, version, qualifiers in the order of their keys; nothing in it needs a percent any more.
_PART = r"[A-Za-z0-9._~:-]|%[0-9A-F]{2}"
_PURL = re.compile(
    rf"pkg:[a-z]+/(?:(?:{_PART})+/)?(?:{_PART})+@(?:{_PART})+"
    rf"(?:\?(?P<qualifiers>[a-z_]+=(?:{_PART}|/)+(?:&[a-z_]+=(?:{_PART}|/)+)*))?"
)


def bill(package: Packaged, version: str = "1.6") -> dict[str, Any]:
    return sbom.document(package.spec, package.lock, package.manifest, version)


def components(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every component of a bill, with those inside others."""
    for each in found.get("components", []):
        yield each
        yield from components(each)


def files(found: dict[str, Any]) -> Counter[tuple[str, str]]:
    return Counter((each["name"], each["hashes"][0]["content"]) for each in components(found) if each["type"] == "file")


@given(package=packages())
def test_every_reference_is_of_one_component(package: Packaged) -> None:
    found = bill(package)
    refs = [each["bom-ref"] for each in components(found)] + [found["metadata"]["component"]["bom-ref"]]
    assert len(refs) == len(set(refs))
    told = [each["ref"] for each in found["dependencies"]]
    assert len(told) == len(set(told))
    assembled = [ref for each in found["compositions"] for ref in each["assemblies"]]
    used = {*told, *assembled, *(ref for each in found["dependencies"] for ref in each.get("dependsOn", []))}
    assert used <= set(refs)
    # What image and libraries need is not known here, and an entry of theirs would say that it is nothing.
    assert set(told) == {"package", "code", "model"}
    assert {each["bom-ref"] for each in found["components"]} <= used


@given(package=packages())
def test_every_purl_is_one(package: Packaged) -> None:
    for each in components(bill(package)):
        if "purl" in each:
            match = _PURL.fullmatch(each["purl"])
            assert match, each["purl"]
            keys = re.findall(r"(?:\A|&)([a-z_]+)=", match["qualifiers"] or "")
            assert keys == sorted(set(keys))


@given(package=packages())
def test_every_file_of_the_package_is_listed_once(package: Packaged) -> None:
    assert files(bill(package)) == Counter((each.path, each.digest.value) for each in package.manifest.members)


@given(package=packages())
def test_the_same_package_has_the_same_bytes_and_says_nothing_of_this_machine(package: Packaged) -> None:
    text = sbom.text(bill(package))
    assert text == sbom.text(bill(package))
    assert not [word for word in (b"alice", b"hidden value", b"timestamp", b"123456789012") if word in text]
    assert sbom.subject(text) == str(package.manifest.digest)


def test_the_serial_number_is_of_what_is_listed() -> None:
    one, other = packaged(), packaged(license=License("mit"))
    serials = {bill(one)["serialNumber"], bill(other)["serialNumber"], bill(one, "1.7")["serialNumber"]}
    assert len(serials) == 3


def test_model_image_and_requirements_have_addresses_and_digests() -> None:
    package = packaged(endpoint="https://hub.company")
    found = {each["bom-ref"]: each for each in components(bill(package))}
    assert found["model"]["purl"] == f"pkg:huggingface/org/model@{COMMIT}?repository_url=https://hub.company"
    assert found["model"]["modelCard"]["modelParameters"] == {"task": "image-to-video"}
    assert found["image"]["purl"] == (
        f"pkg:oci/inference@sha256%3A{package.lock.image_digest.value}"
        "?repository_url=763104351884.dkr.ecr.us-east-1.amazonaws.com/team/inference&tag=2.6.0-gpu-py312"
    )
    assert found["pypi:einops"]["purl"] == "pkg:pypi/einops@0.8.0%2Bcpu.1"
    assert found["pypi:einops"]["hashes"][0]["content"] == package.lock.packages[0].digest.value


def test_a_wheel_in_the_package_belongs_to_its_library() -> None:
    found = {each["bom-ref"]: each for each in components(bill(packaged(vendor=True)))}
    [wheel] = found["pypi:einops"]["components"]
    assert wheel["name"] == "code/wheels/einops-0.8.0-py3-none-any.whl"
    assert wheel["bom-ref"] not in {each["bom-ref"] for each in found["code"]["components"]}


@pytest.mark.parametrize(
    ("declared", "listed"),
    [
        (License("apache-2.0"), [{"id": "Apache-2.0"}]),
        (License("mit", "my own"), [{"id": "MIT"}]),
        (License("gemma, other", "own-1.0"), [{"name": "gemma"}, {"name": "own-1.0"}]),
        (License("mit, gemma"), [{"id": "MIT"}, {"name": "gemma"}]),
        (License("odc-by"), [{"id": "ODC-By-1.0"}]),
        (License("other", "own-1.0"), [{"name": "own-1.0"}]),
        (License("other", None, "https://x.example/a b"), [{"name": "other", "url": "https://x.example/a%20b"}]),
        (
            License("other", "own-1.0", "LICENSE.md"),
            [{"name": "own-1.0", "url": f"https://huggingface.co/org/model/blob/{COMMIT}/LICENSE.md"}],
        ),
    ],
)
def test_a_licence_has_the_identifier_of_spdx_or_the_name_that_its_card_gives(
    declared: License, listed: list[dict[str, str]]
) -> None:
    found = next(each for each in components(bill(packaged(license=declared))) if each["bom-ref"] == "model")
    assert found["licenses"] == [{"license": {**each, "acknowledgement": "declared"}} for each in listed]


@pytest.mark.parametrize(
    ("declared", "listed"),
    [
        ("mit", {"license": {"id": "MIT", "acknowledgement": "declared"}}),
        ("Apache-2.0 OR (MIT AND ISC)", {"expression": "Apache-2.0 OR (MIT AND ISC)", "acknowledgement": "declared"}),
        ("BSD License", {"license": {"name": "BSD License", "acknowledgement": "declared"}}),
        ("MIT OR mine", {"license": {"name": "MIT OR mine", "acknowledgement": "declared"}}),
    ],
)
def test_a_library_has_the_licence_that_its_wheel_names(declared: str, listed: dict[str, Any]) -> None:
    package = packaged()
    libraries = tuple(replace(each, license=declared) for each in package.lock.packages)
    [found] = (each for each in components(bill(packaged(packages=libraries))) if each["type"] == "library")
    assert found["licenses"] == [listed]


def test_of_several_licences_the_link_is_that_of_the_one_without_a_word() -> None:
    declared = License("mit, other", "own-1.0", "https://x.example/own")
    found = next(each for each in components(bill(packaged(license=declared))) if each["bom-ref"] == "model")
    assert [each["license"].get("url") for each in found["licenses"]] == [None, "https://x.example/own"]


def test_the_task_is_that_of_the_hub_or_else_of_the_handler() -> None:
    def task(package: Packaged) -> str:
        found = next(each for each in components(bill(package)) if each["bom-ref"] == "model")
        return str(found["modelCard"]["modelParameters"]["task"])

    assert task(packaged(task="text-to-video")) == "text-to-video"
    assert task(packaged()) == "image-to-video"  # HF_TASK


def test_a_model_without_a_card_has_no_licence() -> None:
    assert "licenses" not in next(
        each for each in components(bill(packaged(license=None))) if each["bom-ref"] == "model"
    )


def test_another_version_of_this_program_lists_the_same_and_another_package_does_not() -> None:
    package = packaged()
    document = bill(package)
    newer = {**document, "serialNumber": "urn:uuid:0", "metadata": {**document["metadata"], "tools": {}}}
    assert sbom.same_contents(sbom.text(document), sbom.text(document))
    assert sbom.same_contents(sbom.text(newer), sbom.text(document))
    assert not sbom.same_contents(sbom.text(bill(packaged(license=None))), sbom.text(document))
    for damaged in (b"", b"[]", b"{}", b'{"metadata": 1}'):
        assert not sbom.same_contents(damaged, sbom.text(document))
        assert sbom.subject(damaged) is None


def test_each_version_that_is_offered_is_written() -> None:
    for version in results.SBOM_VERSIONS:
        found = bill(packaged(), version)
        assert (found["specVersion"], found["$schema"]) == (
            version,
            f"http://cyclonedx.org/schema/bom-{version}.schema.json",
        )
    assert bill(packaged()) == bill(packaged(), results.SBOM_VERSIONS[0])
