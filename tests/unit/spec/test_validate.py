"""Validation: the schema, the required keys, and all mistakes at once, each where it was written."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagepack.errors import SpecError
from sagepack.spec import loader, validate
from sagepack.spec.model import KEYS
from tests.helpers.paths import ROOT
from tests.helpers.specs import COMMIT, OVERLAY, SPEC, TAG, errors, load, project, warnings


@pytest.mark.parametrize("env", ["local", "dev", "prod"])
@pytest.mark.parametrize("name", ["svd", "llava"])
def test_the_shipped_specs_are_valid_everywhere(name: str, env: str) -> None:
    document = loader.load(ROOT / "config" / f"{name}.yaml", env, [], ROOT)
    keys = [problem.key for problem in validate.check(document, ROOT)]
    # The accounts in the shipped overlays are examples.
    assert keys == ([] if env == "local" else ["aws.account"])


def test_a_small_spec_is_valid_without_a_word(tmp_path: Path) -> None:
    assert warnings(tmp_path) == []


SPEC_LINES = [
    # (replaced, by, where, key and message, fix)
    ("name: toy\nmodel", "model", "config/toy.yaml:1:1", "name: required key is missing", None),
    ("name: toy\nmodel", "name: toy\nnmae: x\nmodel", "config/toy.yaml:2:7", "nmae: unknown key", "did you mean 'name'?"),
    ("  id: owner/toy", "  id: owner/toy\n  rev: main", "config/toy.yaml:4:8", "model.rev: unknown key", "known keys: id"),
    ("  id: owner/toy", "  id: toy", "config/toy.yaml:3:7", 'model.id: "toy": write owner/name', None),
    (f"revision: {COMMIT}", "revision: 1234e56", "config/toy.yaml:4:13", "model.revision: this is not a commit", "give all 40 digits"),
    (f"revision: {COMMIT}", f"revision: {'7' * 40}", "config/toy.yaml:4:13", f"{'7' * 40} is an integer, expected text", f'put it in quotes: "{"7" * 40}"'),
    ("name: toy\nmodel", "name: yes\nmodel", "", "", None),
    ("name: toy\nmodel", "name: true\nmodel", "config/toy.yaml:1:7", "name: true is true or false, expected text", 'in quotes: "true"'),
    ("name: toy\nmodel", "name: Toy_1\nmodel", "config/toy.yaml:1:7", 'name: "Toy_1": use lower-case letters', None),
    ("name: toy\nmodel", f"name: {'a' * 41}\nmodel", "config/toy.yaml:1:7", "out of range: at most 40 characters", None),
    ("  path: code_of/toy", "  path: [code_of/toy]", "config/toy.yaml:6:9", 'code.path: ["code_of/toy"] is a list, expected text', None),
    ("  path: code_of/toy", "  path: code_of/toy\n  requirements: imageio==2.37.0", "config/toy.yaml:7:17", "is text, expected a list", 'write ["imageio==2.37.0"]'),
    ("  COLOUR: blue", "  COLOUR: [blue]", "config/toy.yaml:11:11", 'environment.COLOUR: ["blue"] is a list, expected text or a number or true or false', None),
    ("  COLOUR: blue", "  MY COLOUR: blue", "config/toy.yaml:11:14", "environment.MY COLOUR: a variable's name has letters", None),
    ("environment:\n  COLOUR: blue", "environment: [COLOUR]", "config/toy.yaml:10:14", 'environment: ["COLOUR"] is a list, expected a map', None),
    ("  instance_type: ml.g5.2xlarge", "  instance_typ: ml.g5.2xlarge", "config/toy.yaml:14:17", "endpoint.instance_typ: unknown key", "did you mean 'instance_type'?"),
    ("  instance_type: ml.g5.2xlarge", "  instance_type: ml.g5.2xlage", "config/toy.yaml:14:18", "is not a value that the service knows", "did you mean 'ml.g5.2xlarge'?"),
    ("  instance_type: ml.g5.2xlarge", "  instance_type: g5.2xlarge", "config/toy.yaml:14:18", "is not a value that the service knows", "did you mean 'ml.g5.2xlarge'?"),
    ("  name: toy\n  inst", "  name: toy\n  enable_network_isolation: yes\n  inst", "config/toy.yaml:14:29", '"yes" is text, expected true or false', None),
    ("  name: toy\n  inst", "  name: toy\n  scaling: {max_capacity: 2}\n  inst", "config/toy.yaml:14:3", "endpoint.scaling.min_capacity: required key is missing", None),
    ("  name: toy\n  inst", "  name: toy\n  volume_size_in_gb: 30.5\n  inst", "config/toy.yaml:14:22", "30.5 is a number, expected an integer", None),
    ("  name: toy\n  inst", "  name: toy\n  log_retention_in_days: 31\n  inst", "config/toy.yaml:14:26", "31 is not one of: 1, 3, 5", "the nearest are 30 and 60"),
    ("  name: toy\n  inst", "  name: toy\n  log_retention_in_days: 9999\n  inst", "config/toy.yaml:14:26", "9999 is not one of: 1, 3, 5", "the nearest is 3653"),
    ("  name: toy\n  inst", "  name: toy\n  async: {concurrency: 2}\n  inst", "config/toy.yaml:14:24", "endpoint.async.concurrency: unknown key", "known keys: s3_output_path"),
    ("  name: toy\n  inst", "  name: toy\n  tags: {a: 'x?'}\n  inst", "config/toy.yaml:14:13", 'endpoint.tags.a: "x?" does not match', None),
]  # fmt: skip


@pytest.mark.parametrize("line", SPEC_LINES)
def test_a_mistake_is_reported_where_it_was_written(
    tmp_path: Path, line: tuple[str, str, str, str, str | None]
) -> None:
    old, new, where, message, fix = line
    assert SPEC.count(old) == 1
    project(tmp_path, SPEC.replace(old, new))
    problems = errors(tmp_path)
    if not message:
        assert problems == []
        return
    found = [
        problem for problem in problems if problem.location == where and message in f"{problem.key}: {problem.message}"
    ]
    assert found, problems
    assert fix is None or fix in (found[0].fix or "")


def test_all_mistakes_are_reported_at_once_in_the_order_of_the_files(tmp_path: Path) -> None:
    spec = SPEC.replace("name: toy\nm", "name: Toy!\nm").replace(COMMIT, "main").replace("  COLOUR", "  HF_MODEL_ID")
    project(tmp_path, spec, OVERLAY.replace("us-east-1", "us-est-1").replace("s3://toys/models", "s3://T/models"))
    problems = errors(tmp_path, ["endpoint.initial_instance_count=0", "artifact.layout=tarball"])
    assert [(problem.location, problem.key) for problem in problems] == [
        ("config/toy.yaml:1:7", "name"),
        ("config/toy.yaml:4:13", "model.revision"),
        ("config/toy.yaml:11:16", "environment.HF_MODEL_ID"),
        ("config/env/test.yaml:3:11", "aws.region"),
        ("config/env/test.yaml:6:11", "artifact.target"),
        ("--set endpoint.initial_instance_count", "endpoint.initial_instance_count"),
        ("--set artifact.layout", "artifact.layout"),
    ]


def test_the_text_of_the_error_counts_and_lists(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        validate.check(load(tmp_path, ["name=A", "artifact.layout=archve"]), tmp_path)
    text = str(caught.value)
    assert text.startswith("2 problems in the spec:\n  --set name: ")
    assert "did you mean 'archive'?" in text
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "path", [".".join(key.path) for key in KEYS if key.is_required and not key.is_in_optional_section]
)
def test_what_no_layer_gives_is_missing(tmp_path: Path, path: str) -> None:
    (problem,) = errors(tmp_path, [f"{path}=null"])
    assert (problem.location, problem.key) == (f"--set {path}", path)
    assert problem.message == "required key is missing (null removes it)"


def test_a_section_no_layer_gives_is_missing_key_by_key(tmp_path: Path) -> None:
    project(tmp_path, overlay="")
    assert [problem.key for problem in errors(tmp_path)] == ["artifact.target", "aws.account", "aws.region", "aws.role"]
    assert {problem.location for problem in errors(tmp_path)} == {"config/toy.yaml:1:1"}
    assert "config/env/test.yaml" in (errors(tmp_path)[0].fix or "")


@pytest.mark.parametrize("revision", ["main", "v1.0", "refs/pr/3", COMMIT[:12], "a" * 39, "a" * 41])
def test_a_branch_or_tag_is_for_lock_alone(tmp_path: Path, revision: str) -> None:
    (problem,) = errors(tmp_path, [f"model.revision={revision}"])
    assert "a build requires a commit of 40 hex digits" in problem.message
    assert errors(tmp_path, [f"model.revision={revision}"], branch_allowed=True) == []


@pytest.mark.parametrize("revision", ["a b", "..", "a:b", "x~1", "-/", "a\\b", COMMIT.upper()])
def test_what_is_no_revision_at_all_is_refused_even_by_lock(tmp_path: Path, revision: str) -> None:
    assert errors(tmp_path, [f"model.revision='{revision}'"], branch_allowed=True)


def test_a_message_holds_no_control_characters_and_is_short(tmp_path: Path) -> None:
    project(tmp_path, SPEC + '"\\e[31mred": 1\n' + "k" * 900 + ": 1\n" + 'code.path: "\\e[0m"\n')
    problems = errors(tmp_path, ['name="\\e[31m' + "x" * 5000 + '"'])
    assert len(problems) == 4
    for problem in problems:
        assert str(problem).replace("\n", "").isprintable()
        assert len(str(problem)) < 500


def test_warnings_do_not_refuse(tmp_path: Path) -> None:
    (problem,) = warnings(tmp_path, ["environment.TS_MAX_RESPONSE_SIZE=1000000000"])
    assert problem.location == "--set environment.TS_MAX_RESPONSE_SIZE"
    assert "no effect" in problem.message


def test_one_error_is_reported_for_each_key(tmp_path: Path) -> None:
    # The schema, AWS's description and the family's rule would each refuse this size.
    assert len(errors(tmp_path, ["endpoint.volume_size_in_gb=9999"])) == 1
    assert len(errors(tmp_path, ["aws.account=12", "aws.role=arn:aws:iam::12:role/x"])) == 2


def test_a_spec_with_wrong_types_everywhere_is_still_checked(tmp_path: Path) -> None:
    for value in ("1", "[1]", "{x: 1}", "text", "true", "[[[]]]"):
        keys = ["name", "model", "code", "image", "environment", "artifact", "aws", "endpoint", "sample", "sandbox"]
        nested = [f"{key}={value}" for key in keys]
        deeper = [f"endpoint.{key}={value}" for key in ("name", "async", "scaling", "tags", "instance_type")]
        lists = [f"model.include={value}", f"artifact.reuse_from={value}", f"code.requirements={value}"]
        assert errors(tmp_path, nested)
        assert errors(tmp_path, deeper)
        assert errors(tmp_path, lists)


def test_files_that_the_spec_names_are_checked_too(tmp_path: Path) -> None:
    document = load(tmp_path)
    assert validate.check(document, tmp_path) == ()
    (tmp_path / "code_of" / "toy" / "__init__.py").touch()
    with pytest.raises(SpecError, match=r"1 problem in the code:\n  code_of/toy/__init__.py: makes code/ a package"):
        validate.check(document, tmp_path)


def test_the_tag_of_the_small_spec_is_one_that_exists() -> None:
    assert TAG in (ROOT / "sagepack" / "spec" / "data" / "images.json").read_text()


def test_no_two_specs_of_a_project_have_one_name_or_one_endpoint_in_the_same_environment(tmp_path: Path) -> None:
    other = project(tmp_path).with_name("other.yaml")
    for text, wrong in (
        (SPEC, ["name", "endpoint.name"]),
        (SPEC.replace("name: toy\nmodel", "name: other\nmodel"), ["endpoint.name"]),
        (SPEC.replace("name: toy", "name: toys"), []),
        ("toy: {", []),  # what is wrong with another spec is told when that one is used
    ):
        other.write_text(text)
        assert [".".join(map(str, found.path)) for found in errors(tmp_path)] == wrong
        assert all(found.message == "config/other.yaml has this name already" for found in errors(tmp_path))
    other.write_text(SPEC.replace("name: toy", "name: toys"))
    assert [found.path for found in errors(tmp_path, ["name=toys"])] == [("name",)]
    overlay = tmp_path / "config" / "env" / "test.yaml"
    overlay.write_text(overlay.read_text() + "endpoint: {name: shared}\n")
    assert [found.path for found in errors(tmp_path)] == [("endpoint", "name")]


def test_a_misspelt_key_is_one_mistake_and_not_also_what_is_missing_without_it(tmp_path: Path) -> None:
    spec = SPEC.replace("endpoint:", "endpiont:").replace("  path:", "  pth:").replace("model:", "modle:")
    project(tmp_path, spec)
    assert sorted((found.key, found.message) for found in errors(tmp_path)) == [
        ("code.pth", "unknown key"),
        ("endpiont", "unknown key"),
        ("modle", "unknown key"),
    ]
    project(tmp_path, SPEC.replace("endpoint:", "nonsense:"))
    assert "endpoint.name" in [found.key for found in errors(tmp_path)]


def test_a_shortened_commit_that_yaml_reads_as_a_number_is_told_to_be_short(tmp_path: Path) -> None:
    for short in ("0438438", "1234e56", "0.5"):
        project(tmp_path, SPEC.replace(COMMIT, short))
        (found,) = errors(tmp_path)
        assert (found.key, "all 40 digits" in (found.fix or "")) == ("model.revision", True)
