"""The provenance: it names everything that a package was made from, and who says so; older documents are read too."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.package.attest import provenance
from sagepack.package.attest.provenance import LOCAL, Origin, ProjectCommit
from tests.helpers.bills import COMMIT, packaged, packages
from tests.helpers.paths import SCHEMAS

if TYPE_CHECKING:
    from tests.helpers.bills import Packaged

WORKFLOW = "https://github.com/team/models/.github/workflows/publish.yml@refs/heads/main"
SCHEMA = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "provenance.schema.json").read_text()))
PROJECT = ProjectCommit("a" * 40, uri="git+https://github.com/team/models@refs/heads/main")
ORIGINS = [
    Origin(),
    Origin(WORKFLOW, PROJECT),
    Origin(LOCAL, ProjectCommit("b" * 40, clean=False)),
]


def made(package: Packaged, origin: Origin | None = None) -> dict[str, Any]:
    return provenance.statement(package.spec, package.lock, package.manifest, origin)


def dependencies(document: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = document["predicate"]["buildDefinition"]["resolvedDependencies"]
    return found


def as_before(document: dict[str, Any]) -> bytes:
    """The document as versions of this program wrote it that named no files."""
    old: dict[str, Any] = json.loads(provenance.text(document))
    build = old["predicate"]["buildDefinition"]
    del build["externalParameters"]["image"]
    _without_choice(build["externalParameters"])
    build["resolvedDependencies"] = [each for each in dependencies(old) if "name" not in each or "annotations" in each]
    old["predicate"]["runDetails"]["builder"]["id"] = "sagepack"
    return provenance.text(old)


def _without_choice(parameters: dict[str, Any]) -> None:
    parameters.pop("vendor", None)
    for key in ("include", "exclude", "variant"):
        parameters["model"].pop(key, None)


@given(package=packages(), origin=st.sampled_from(ORIGINS))
def test_every_file_is_named_once_with_its_digest(package: Packaged, origin: Origin) -> None:
    document = made(package, origin)
    SCHEMA.validate(document)
    named = Counter(
        (each["name"], each["digest"]["sha256"])
        for each in dependencies(document)
        if "name" in each and "sha256" in each["digest"] and "annotations" not in each
    )
    assert named == Counter((each.path, each.digest.value) for each in package.manifest.members)
    assert all(each["digest"] for each in dependencies(document))
    assert provenance.other_files(provenance.text(document), package.manifest) == []


def test_a_file_of_the_hub_has_its_address() -> None:
    found = {each.get("name"): each for each in dependencies(made(packaged(files=("a b.bin",))))}
    assert found["a b.bin"]["uri"] == f"hf://models/org/model@{COMMIT}/a%20b.bin"
    assert "uri" not in found["code/inference.py"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_who_built_and_from_what_is_read_back_and_has_no_part_in_what_the_package_is(origin: Origin) -> None:
    document = made(packaged(), origin)
    assert provenance.origin(provenance.text(document)) == origin
    assert document["subject"] == made(packaged())["subject"]
    assert provenance.same_build(provenance.text(document), provenance.text(made(packaged(), ORIGINS[1])))


def test_a_changed_project_is_told() -> None:
    [project] = [
        each for each in dependencies(made(packaged(), ORIGINS[2])) if "gitCommit" in each["digest"] and "name" in each
    ]
    assert project == {"name": "project", "digest": {"gitCommit": "b" * 40}, "annotations": {"modified": True}}


def test_files_that_are_other_ones_are_found() -> None:
    package = packaged()
    document = made(package)
    dependencies(document)[-1]["digest"] = {"sha256": Digest.sha256(b"other").value}
    removed = dependencies(document).pop(-2)["name"]
    text = provenance.text(document)
    assert provenance.other_files(text, package.manifest) == sorted([dependencies(document)[-1]["name"], removed])
    assert not provenance.same_build(text, provenance.text(made(package)))


def test_another_build_is_told_from_this_one() -> None:
    package = packaged()
    for other in (
        packaged(license=None, files=("x.bin",)),
        packaged(image="team/inference:3"),
        packaged(packages=(), requirements=()),
    ):
        assert not provenance.same_build(provenance.text(made(other)), provenance.text(made(package)))
        assert not provenance.same_build(as_before(made(other)), provenance.text(made(package)))


@pytest.mark.parametrize("place", [{}, {"revision": None, "folder": "/home/alice/mine"}])
def test_what_the_spec_asks_for_is_named_as_it_asks(place: dict[str, Any]) -> None:
    def parameters(document: dict[str, Any]) -> dict[str, Any]:
        SCHEMA.validate(document)
        found: dict[str, Any] = document["predicate"]["buildDefinition"]["externalParameters"]
        return found

    choice: dict[str, Any] = {"include": ("*.bin", "a/*"), "exclude": ("b.bin",), "variant": "fp16"}
    plain, chosen = made(packaged(**place)), made(packaged(**place, choice=choice, vendor=True))
    said = {"include": ["*.bin", "a/*"], "exclude": ["b.bin"], "variant": "fp16"}
    assert parameters(chosen)["model"] == {**parameters(plain)["model"], **said}
    assert (parameters(chosen).get("vendor"), parameters(plain).get("vendor")) == (True, None)
    other = made(packaged(**place, choice={**choice, "exclude": ("c.bin",)}, vendor=True))
    assert not provenance.same_build(provenance.text(other), provenance.text(chosen))


@given(package=packages())
def test_a_document_that_does_not_say_which_files_were_asked_for_may_be_of_the_same_build(package: Packaged) -> None:
    old = json.loads(provenance.text(made(package)))
    _without_choice(old["predicate"]["buildDefinition"]["externalParameters"])
    text = provenance.text(made(package))
    assert provenance.same_build(provenance.text(old), text)
    if provenance.text(old) != text:
        assert not provenance.same_build(text, provenance.text(old))


@given(package=packages())
def test_a_document_of_an_earlier_version_is_read(package: Packaged) -> None:
    old = as_before(made(package))
    assert provenance.same_build(old, provenance.text(made(package, ORIGINS[1])))
    assert provenance.origin(old) is None
    assert provenance.other_files(old, package.manifest) == []
    assert provenance.requirements(old) == provenance.requirements(provenance.text(made(package)))
    assert provenance.subject(old) == provenance.subject(provenance.text(made(package)))


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"predicate": {"buildDefinition": 1}}'])
def test_what_is_no_provenance_says_nothing(data: bytes) -> None:
    package = packaged()
    assert provenance.origin(data) is None
    assert provenance.requirements(data) is None
    assert provenance.other_files(data, package.manifest) == []
    assert not provenance.same_build(data, provenance.text(made(package)))
