"""The schemas: sound, explained key by key, and in step with the values, with AWS and with what is written."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest
import yaml
from msgspec import NODEFAULT
from msgspec.structs import fields
from referencing import Registry, Resource

from sagepack.aws.service_model import shape
from sagepack.digest import Digest
from sagepack.json_schema import Schema
from sagepack.package.lock import Lock, LockedFile, LockedPackage
from sagepack.package.manifest import Manifest, Member
from sagepack.package.revision import Revision
from sagepack.spec.model import (
    KEYS,
    Alarms,
    Artifact,
    AsyncInference,
    Aws,
    BlueGreen,
    Code,
    Endpoint,
    Expect,
    Image,
    InstancePool,
    ModelSource,
    Remote,
    Rolling,
    Sample,
    Scaling,
    ScheduledBounds,
    Spec,
    Update,
    Vpc,
)
from sagepack.spec.validate import SCHEMA
from tests.helpers.paths import ROOT
from tests.helpers.specs import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMBERS = {key.path: key.facts.member for key in KEYS if key.facts.member}
MINE = ["spec", "overlay", "lock", "manifest"]


def schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "schemas" / f"{name}.schema.json").read_text())
    return found


def validator(name: str) -> jsonschema.Draft202012Validator:
    registry: Any = Registry().with_resources(
        [(f"{other}.schema.json", Resource.from_contents(schema(other))) for other in MINE]
    )
    return jsonschema.Draft202012Validator(schema(name), registry=registry)


def section(*path: str) -> dict[str, Any]:
    found: dict[str, Any] = schema("spec")["$defs"][path[0]]
    for step in path[1:]:
        found = found["items"] if step == "items" else found["properties"][step]
    return found


def subschemas(part: Any) -> Iterator[dict[str, Any]]:
    """Every schema in `part`: those of properties, items, values."""
    yield part
    for key in ("properties", "$defs"):
        for child in part.get(key, {}).values():
            yield from subschemas(child)
    for key in ("items", "additionalProperties"):
        if isinstance(part.get(key), dict):
            yield from subschemas(part[key])


@pytest.mark.parametrize("name", MINE)
def test_every_schema_is_a_valid_schema(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schema(name))


def test_the_schema_that_the_program_takes_unchecked_refers_to_nothing_outside() -> None:
    Schema(json.loads(SCHEMA.read_text()))  # raises what a user's schema would be refused for


@pytest.mark.parametrize("name", MINE)
def test_every_key_is_explained_and_no_map_takes_unknown_keys(name: str) -> None:
    for part in subschemas(schema(name)):
        if "$ref" in part:
            continue
        assert part["description"].endswith("."), part
        if "properties" in part and "propertyNames" not in part:  # a map with names of the user's choice says which
            assert part["additionalProperties"] is False, part


@pytest.mark.parametrize(
    ("path", "cls", "renamed"),
    [
        (("model",), ModelSource, {}),
        (("code",), Code, {}),
        (("image",), Image, {}),
        (("artifact",), Artifact, {}),
        (("aws",), Aws, {}),
        (("endpoint",), Endpoint, {"asynchronous": "async"}),
        (("endpoint", "async"), AsyncInference, {}),
        (("endpoint", "scaling"), Scaling, {}),
        (("endpoint", "scaling", "schedule", "items"), ScheduledBounds, {}),
        (("endpoint", "instance_pools", "items"), InstancePool, {}),
        (("endpoint", "vpc"), Vpc, {}),
        (("remote",), Remote, {}),
        (("remote", "vpc"), Vpc, {}),
        (("endpoint", "alarms"), Alarms, {}),
        (("endpoint", "update"), Update, {}),
        (("endpoint", "update", "blue_green"), BlueGreen, {}),
        (("endpoint", "update", "rolling"), Rolling, {}),
        (("sample",), Sample, {}),
        (("sample", "expect"), Expect, {}),
    ],
)
def test_keys_and_defaults_are_those_of_the_values(path: tuple[str, ...], cls: Any, renamed: dict[str, str]) -> None:
    properties = section(*path)["properties"]
    assert set(properties) == {renamed.get(field.name, field.name) for field in fields(cls)}
    for field in fields(cls):
        declared = properties[renamed.get(field.name, field.name)].get("default")
        if field.default not in (NODEFAULT, None) and field.default != ():
            assert declared == field.default, field.name


def test_the_top_keys_are_those_of_the_spec() -> None:
    assert set(schema("spec")["properties"]) == {field.name for field in fields(Spec)} - {"env"}
    assert set(schema("overlay")["properties"]) == set(schema("spec")["properties"])


def test_a_layer_may_remove_every_key_that_is_not_required() -> None:
    required = {
        "id",
        "revision",
        "path",
        "repository",
        "tag",
        "name",
        "instance_type",
        "target",
        "account",
        "region",
        "role",
        "subnets",
        "security_group_ids",
        "scheduler",
        "ca",
        "cert",
    }
    for part in subschemas(schema("spec")):
        for key, child in part.get("properties", {}).items():
            kinds = child.get("type")
            if key not in required | {"min_capacity", "max_capacity", "at", "priority"} and isinstance(
                kinds, (str, list)
            ):
                assert "null" in kinds, key


@pytest.mark.parametrize("path", [path for path in MEMBERS if path[-1] not in ("environment", "tags", "target")])
def test_ranges_are_those_of_aws(path: tuple[str, ...]) -> None:
    declared, real = section(*path), shape(*MEMBERS[path])
    kinds = {"integer": ("minimum", "maximum"), "list": ("minItems", "maxItems")}
    low, high = kinds.get(real.kind, ("minLength", "maxLength"))
    if real.enum:
        assert set(declared.get("enum", declared.get("examples", []))) - {None} <= set(real.enum)
        return
    assert declared.get(high) == real.maximum
    if real.minimum:
        # SageMaker's description allows one pool, and SageMaker refuses it.
        assert declared.get(low) == (2 if path[-1] == "instance_pools" else real.minimum)


def test_examples_and_defaults_are_valid() -> None:
    for part in subschemas(schema("spec")):
        values = [*part.get("examples", []), *([part["default"]] if "default" in part else [])]
        for value in values:
            jsonschema.Draft202012Validator(part).validate(value)


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_specs_please_an_editor(path: Path) -> None:
    validator("spec").validate(yaml.safe_load(path.read_text()))
    assert path.read_text().startswith("# yaml-language-server: $schema=.schemas/spec.schema.json\n")


@pytest.mark.parametrize("path", sorted((ROOT / "config" / "env").glob("*.yaml")), ids=lambda path: path.name)
def test_shipped_overlays_please_an_editor(path: Path) -> None:
    validator("overlay").validate(yaml.safe_load(path.read_text()))
    assert path.read_text().startswith("# yaml-language-server: $schema=../.schemas/overlay.schema.json\n")


def test_an_overlay_may_hold_a_part_and_remove_a_part() -> None:
    overlay = validator("overlay")
    overlay.validate({"endpoint": {"scaling": None, "tags": {"a": None}}, "model": {"variant": None}, "sample": None})
    assert not overlay.is_valid({"endpoint": {"nmae": "x"}})
    assert not overlay.is_valid({"anything": 1})


def test_a_written_lock_matches_its_schema() -> None:
    sha = Digest.sha256(b"x")
    lock = Lock(
        spec_digest=sha,
        revision=Revision("owner/toy", COMMIT),
        files=(LockedFile("a.json", 1, sha, "0" * 40), LockedFile("w.safetensors", 2, sha, sha.value)),
        excluded=(3, 4),
        image="repo:tag",
        image_digest=sha,
        image_registry="763104351884.dkr.ecr.us-east-1.amazonaws.com",
        requirements=("a==1",),
        packages=(LockedPackage("a", "1", "a-1-py3-none-any.whl", 1, sha, "", ("a",)),),
    )
    validator("lock").validate(yaml.safe_load(lock.text()))
    assert not validator("lock").is_valid({**yaml.safe_load(lock.text()), "more": 1})


def test_a_written_manifest_matches_its_schema() -> None:
    manifest = Manifest.of(
        [Member("a", 0, Digest.sha256(b"")), Member("code/b", 1, Digest.sha256(b"b"), executable=True)]
    )
    validator("manifest").validate(json.loads(manifest.text()))
    assert not validator("manifest").is_valid({"version": 2, "members": []})


@pytest.mark.parametrize("name", ["svd", "llava"])
def test_sample_requests_are_small_and_hold_a_picture(name: str) -> None:
    path = ROOT / "config" / "samples" / f"{name}.json"
    assert path.stat().st_size < 10_000
    request = json.loads(path.read_text())
    picture = base64.b64decode(request.get("inputs") or request["image"], validate=True)
    assert picture.startswith(b"\x89PNG\r\n\x1a\n")
