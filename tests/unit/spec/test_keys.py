"""The keys of a spec: one field of the model and one entry of the schema are all that a key needs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sagepack.spec.keys import build, request_members
from sagepack.spec.model import KEYS, AsyncInference, Endpoint, Scaling, Spec
from tests.helpers.paths import ROOT
from tests.helpers.specs import OVERLAY, SPEC, project

if TYPE_CHECKING:
    from pathlib import Path

# Reads the spec of the folder that it runs in, and prints what validation says, else the value of the new key.
PROGRAM = """
import sys
from pathlib import Path
from sagepack.errors import SpecError
from sagepack.spec import loader, validate
document = loader.load(Path("config/toy.yaml"), "test", sys.argv[1:], Path("."))
try:
    validate.check(document, Path("."))
except SpecError as error:
    print(error)
else:
    print(repr(document.spec().endpoint.variant_name))
"""
FIELD = """\
    variant_name: Annotated[str, Facts(member=("sagemaker", "ProductionVariant", "VariantName"))]
"""


def read(folder: Path, *sets: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, *sets], cwd=folder, capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout


@pytest.mark.slow
def test_a_new_key_needs_a_field_of_the_model_and_an_entry_of_the_schema_and_nothing_else(tmp_path: Path) -> None:
    project(tmp_path)
    shutil.copytree(ROOT / "sagepack", tmp_path / "sagepack", ignore=shutil.ignore_patterns("__pycache__"))
    assert "variant_name: unknown key" in read(tmp_path, "endpoint.variant_name=a")

    model = tmp_path / "sagepack" / "spec" / "model.py"
    before = '    name: Annotated[str, Facts(member=("sagemaker", "CreateEndpointInput", "EndpointName"))]\n'
    assert model.read_text().count(before) == 1
    model.write_text(model.read_text().replace(before, before + FIELD))
    path = tmp_path / "sagepack" / "schemas" / "spec.schema.json"
    schema = json.loads(path.read_text())
    schema["$defs"]["endpoint"]["properties"]["variant_name"] = {"description": "A name.", "type": "string"}
    path.write_text(json.dumps(schema))

    assert read(tmp_path, "endpoint.variant_name=a").strip() == "'a'"
    assert read(tmp_path, "endpoint.variant_name=7").strip() == "'7'"  # text, whatever it looks like
    assert "endpoint.variant_name: required key is missing" in read(tmp_path)
    assert "does not match the service's pattern" in read(tmp_path, "endpoint.variant_name=a_b")
    assert "is a list, expected text" in read(tmp_path, "endpoint.variant_name=[a]")
    project(tmp_path, SPEC, f"{OVERLAY}endpoint:\n  variant_name: from-the-overlay\n")
    assert read(tmp_path).strip() == "'from-the-overlay'"


def test_a_key_is_required_if_its_field_has_no_default() -> None:
    required = {".".join(key.path) for key in KEYS if key.is_required}
    assert required == {
        *("name", "code.path", "image.repository", "image.tag", "artifact.target"),
        *("endpoint.name", "aws.account", "aws.region", "aws.role"),
        *("endpoint.scaling.min_capacity", "endpoint.scaling.max_capacity"),
        *("endpoint.vpc.subnets", "endpoint.vpc.security_group_ids"),
        *("cluster.scheduler", "cluster.tls.ca", "cluster.tls.cert"),
        *("remote.role", "remote.vpc.subnets", "remote.vpc.security_group_ids"),
    }
    optional = {key.path[:2] for key in KEYS if key.is_in_optional_section and key.is_required}
    assert optional == {
        ("endpoint", "scaling"),
        ("endpoint", "vpc"),
        ("remote", "role"),
        ("remote", "vpc"),
        ("cluster", "scheduler"),
        ("cluster", "tls"),
    }


def test_a_section_is_built_from_its_keys_and_defaults() -> None:
    data = {"name": "e", "instance_type": "ml.g5.xlarge", "scaling": {"min_capacity": 0, "max_capacity": 1}}
    paths = {"s3_output_path": "s3://b/o/", "s3_failure_path": "s3://b/f/"}
    endpoint = build(Endpoint, {**data, "async": paths})
    assert endpoint.scaling == Scaling(0, 1)
    assert endpoint.asynchronous.s3_failure_path == "s3://b/f/"
    assert endpoint.asynchronous.max_concurrent_invocations_per_instance == 1
    assert build(Endpoint, {"name": "e", "instance_type": "ml.g5.xlarge", "async": paths}).scaling is None


@pytest.mark.parametrize("data", [{"name": "e", "nmae": "f"}, {"name": "e"}, {"async": []}, {"asynchronous": {}}])
def test_a_section_with_an_unknown_a_missing_or_a_misshapen_key_is_refused(data: dict[str, object]) -> None:
    with pytest.raises((TypeError, AttributeError)):
        build(Endpoint, data)


def test_lists_become_tuples_except_in_values_of_any_type() -> None:
    data = {
        "name": "toy",
        "model": {"id": "a/b", "revision": "c", "include": ["x", "y"]},
        "code": {"path": "p"},
        "image": {"repository": "r", "tag": "t"},
        "artifact": {"target": "s3://b/m/", "reuse_from": ["s3://c/", "s3://d"]},
        "aws": {"account": "1", "region": "r", "role": "r"},
        "endpoint": {"name": "e", "instance_type": "i", "async": {"s3_output_path": "o", "s3_failure_path": "f"}},
        "sample": {"request": [1, 2]},
    }
    spec = build(Spec, data, env="test")
    assert spec.model.include == ("x", "y")
    assert spec.artifact.target == "s3://b/m"
    assert spec.artifact.reuse_from == ("s3://c", "s3://d")
    assert spec.sample is not None
    assert spec.sample.request == [1, 2]


def test_a_section_gives_the_members_of_a_request_that_its_keys_are_about() -> None:
    section = AsyncInference("s3://b/o/", "s3://b/f/", success_topic="arn:aws:sns:us-east-1:1:done")
    assert request_members(section, "sagemaker", "AsyncInferenceConfig") == {
        "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
        "OutputConfig": {
            "S3OutputPath": "s3://b/o/",
            "S3FailurePath": "s3://b/f/",
            "NotificationConfig": {"SuccessTopic": "arn:aws:sns:us-east-1:1:done"},
        },
    }
    assert request_members(section, "sagemaker", "ProductionVariant") == {}
