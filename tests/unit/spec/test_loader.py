"""Reading the spec, its overlay and `--set`: what is refused, and where it is said to be."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sagepack.errors import UserError
from sagepack.spec import loader
from tests.helpers.paths import ROOT
from tests.helpers.specs import COMMIT, OVERLAY, SPEC, errors, load, project


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", "config/toy.yaml:1:1: the spec is empty"),
        ("# a comment\n", "config/toy.yaml:1:1: the spec is empty"),
        ("---\n...\n", "config/toy.yaml:1:1: the spec is empty"),
        ("- a\n- b\n", "config/toy.yaml:1:1: this is a list, expected a map"),
        ("\n  just words\n", "config/toy.yaml:2:3: this is text, expected a map"),
        ("42\n", "config/toy.yaml:1:1: this is an integer, expected a map"),
        (b"name: caf\xe9\n", "config/toy.yaml:1:10: the file is not UTF-8 text"),
        (b"a: 1\nb: \xff\xfe\n", "config/toy.yaml:2:4: the file is not UTF-8 text"),
        ("name: toy\n\tmodel: x\n", "config/toy.yaml:2:1: invalid YAML"),
        ("name: toy\nname: toy\n", "config/toy.yaml:2:1: duplicate key 'name'"),
        ("name: !!python/name:os.system\n", "config/toy.yaml:1:7: the tag !!python/name:os.system is not allowed"),
        ("a: " + "x" * 2_000_000, "config/toy.yaml: the file is larger than 1,000,000 bytes"),
        ("a: &a [x, x]\nb: *a\nc: *d\n", "config/toy.yaml:3:4: unknown alias *d"),
        ("name: {first: toy, first: toy}\n", "config/toy.yaml:1:20: duplicate key 'first'"),
    ],
)
def test_a_file_that_is_no_spec_is_refused_at_its_place(tmp_path: Path, spec: str | bytes, expected: str) -> None:
    project(tmp_path, spec)
    (problem,) = errors(tmp_path)
    assert str(problem).startswith(expected)


def test_problems_of_all_files_and_settings_come_at_once(tmp_path: Path) -> None:
    project(tmp_path, "a: 1\na: 2\n", "b: *c\n")
    assert [str(problem).split(": ")[0] for problem in errors(tmp_path, ["c=[", "nonsense", "d=!x 1"])] == [
        "config/toy.yaml:2:1",
        "config/env/test.yaml:1:4",
        "--set c",
        "--set nonsense",
        "--set d",
    ]


@pytest.mark.parametrize(
    ("setting", "path", "value"),
    [
        ("name=other", ("name",), "other"),
        ("endpoint.volume_size_in_gb=30", ("endpoint", "volume_size_in_gb"), 30),
        ("model.include=[a, b]", ("model", "include"), ["a", "b"]),
        (
            "endpoint.scaling={min_capacity: 0, max_capacity: 3}",
            ("endpoint", "scaling"),
            {"min_capacity": 0, "max_capacity": 3},
        ),
        ("environment.A=b=c", ("environment", "A"), "b=c"),
        ("environment.A=", ("environment", "A"), None),
        ("environment=null", ("environment",), None),
        ('endpoint.tags."a.b"=c', ("endpoint", "tags", "a.b"), "c"),
        ('endpoint.tags."a=b"=c', ("endpoint", "tags", "a=b"), "c"),
        ("aws.account=012345678901", ("aws", "account"), "012345678901"),
        (f"model.revision={'1' * 40}", ("model", "revision"), "1" * 40),
        ("environment.A=0x10", ("environment", "A"), "0x10"),
        ("sample.request={seed: 1}", ("sample", "request"), {"seed": 1}),
    ],
)
def test_a_setting_is_laid_last(tmp_path: Path, setting: str, path: tuple[str, ...], value: Any) -> None:
    found: Any = load(tmp_path, [setting]).data
    for step in path:
        found = found.get(step)
    assert found == value


@pytest.mark.parametrize("setting", ["", "=", "name", "=x", ".a=x", "a.=x", "a..b=x", 'a"b=x', "a b=x", '""=x', '"a=x'])
def test_what_is_no_setting_is_refused(tmp_path: Path, setting: str) -> None:
    assert "expected key=value" in str(errors(tmp_path, [setting])[0])


def test_of_two_settings_the_later_wins(tmp_path: Path) -> None:
    assert load(tmp_path, ["name=a", "name=b"]).data["name"] == "b"


def test_an_argument_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (problem,) = errors(tmp_path, ["name=\udce9"])  # how Python passes on a byte that is not UTF-8
    assert "not UTF-8 text" in problem.message


def test_a_message_about_a_setting_does_not_repeat_its_value(tmp_path: Path) -> None:
    for setting in ("environment.HF_TOKEN=hf_Abcdefghijklmnopqrst", "environment.X=!t hf_Abcdefghijklmnopqrst"):
        text = "".join(map(str, errors(tmp_path, [setting])))
        assert "--set environment." in text
        assert "Abcdef" not in text


def test_an_overlay_may_be_empty_and_the_spec_may_begin_with_a_byte_order_mark(tmp_path: Path) -> None:
    project(tmp_path, b"\xef\xbb\xbf" + (SPEC + OVERLAY).encode(), "# nothing differs here\n")
    assert errors(tmp_path) == []
    assert load(tmp_path).where(("name",)) == "config/toy.yaml:1:7"


def test_places_are_those_of_the_file_a_value_came_from(tmp_path: Path) -> None:
    project(tmp_path, overlay=OVERLAY + "model: {variant: fp16}\n")
    document = load(tmp_path, ["endpoint.name=other"])
    assert document.where(("model", "revision")) == "config/toy.yaml:4:13"
    assert document.where(("model", "variant")) == "config/env/test.yaml:7:18"
    assert document.where(("endpoint", "name")) == "--set endpoint.name"
    assert document.where(("endpoint", "scaling", "min_capacity")) == "config/toy.yaml:12:1"  # absent: its nearest map
    assert document.where(("nothing",)) == "config/toy.yaml:1:1"


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ("tset", "unknown environment 'tset'; available: test\n  did you mean 'test'?"),
        ("moon", "unknown environment 'moon'; available: test\n  to add an environment, create config/env/NAME.yaml"),
        ("../env/test", "unknown environment '../env/test'"),
        ("", "unknown environment ''"),
    ],
)
def test_an_unknown_environment_lists_the_known(tmp_path: Path, env: str, expected: str) -> None:
    config = project(tmp_path)
    with pytest.raises(UserError) as caught:
        loader.load(config, env, [], tmp_path)
    assert expected in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_missing_spec_suggests_one_that_is_there(tmp_path: Path) -> None:
    project(tmp_path)
    with pytest.raises(UserError, match=r"config/tpy.yaml: there is no such file\n  did you mean 'config/toy.yaml'"):
        loader.load(tmp_path / "config" / "tpy.yaml", "test", [], tmp_path)
    with pytest.raises(UserError, match="there is no such file"):
        loader.load(tmp_path / "nowhere" / "a.yaml", "test", [], tmp_path)


def test_a_spec_elsewhere_takes_the_environments_of_the_project(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "toy.yaml").write_text(SPEC)
    assert loader.load(tmp_path / "mine" / "toy.yaml", "test", [], tmp_path).spec().name == "toy"


def test_the_spec_has_its_defaults(tmp_path: Path) -> None:
    spec = load(tmp_path, ["artifact.target=s3://toys/models/"]).spec()
    assert (spec.name, spec.env, spec.model.revision) == ("toy", "test", COMMIT)
    assert spec.artifact.target == "s3://toys/models"
    assert spec.endpoint.asynchronous.s3_output_path == "s3://toys/async/toy/output/"
    assert spec.endpoint.asynchronous.s3_failure_path == "s3://toys/async/toy/failure/"
    assert (spec.endpoint.scaling, spec.sample, spec.sandbox) == (None, None, False)


def test_the_spec_has_what_was_written(tmp_path: Path) -> None:
    sets = [
        "endpoint.async={s3_output_path: s3://b/o/, max_concurrent_invocations_per_instance: 2}",
        "endpoint.scaling={min_capacity: 0, max_capacity: 3}",
        "sample={request: {inputs: [1, 2]}}",
        "code.requirements=[imageio==2.37.0]",
        "artifact.reuse_from=[s3://c/d/]",
        "environment={N: 8080, B: true, S: 'x'}",
    ]
    spec = load(tmp_path, sets).spec()
    assert spec.endpoint.asynchronous.s3_output_path == "s3://b/o/"
    assert spec.endpoint.asynchronous.s3_failure_path == "s3://toys/async/toy/failure/"
    assert spec.endpoint.scaling is not None
    assert spec.endpoint.scaling.max_capacity == 3
    assert spec.sample is not None
    assert spec.sample.request == {"inputs": [1, 2]}
    assert spec.code.requirements == ("imageio==2.37.0",)
    assert spec.artifact.reuse_from == ("s3://c/d",)
    assert spec.environment == {"COLOUR": "blue", "N": "8080", "B": "true", "S": "x"}


def test_environment_and_tags_are_text_as_it_was_written(tmp_path: Path) -> None:
    project(
        tmp_path, SPEC.replace("COLOUR: blue", "A: 1e3\n  B: 0x10\n  C: True\n  D: 007\n  E: 'true'\n  F: 1.50\n  G: ~")
    )
    assert load(tmp_path).data["environment"] == {
        "A": "1e3",
        "B": "0x10",
        "C": "True",
        "D": "007",
        "E": "true",
        "F": "1.50",
    }
    assert errors(tmp_path) == []


def test_the_digest_follows_the_data_and_nothing_else(tmp_path: Path) -> None:
    project(tmp_path)
    plain = load(tmp_path).digest
    project(tmp_path, "# a comment\n" + SPEC.replace("name: toy\nmodel", "name: 'toy'\n\nmodel", 1))
    assert load(tmp_path).digest == plain
    assert load(tmp_path, ["environment.A=1"]).digest != plain
    assert load(tmp_path, ["environment.COLOUR=blue"]).digest == plain


def test_an_invalid_document_makes_no_spec(tmp_path: Path) -> None:
    for setting in ("code=null", "endpoint.nonsense=1", "aws=[1]"):
        with pytest.raises(UserError, match="validate"):
            load(tmp_path, [setting]).spec()


def test_reading_a_spec_loads_neither_schema_nor_services() -> None:
    code = (
        "import sys; from pathlib import Path; from sagepack.spec import loader, validate\n"
        "loader.load(Path('config/svd.yaml'), 'local', [], Path('.')).spec()\n"
        "print([m for m in ('boto3', 'botocore', 'jsonschema', 'huggingface_hub', 'packaging') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("value", ["*.json", "@a", "&a", "!a b", "%a", "`a", " *.json"])
def test_a_setting_that_yaml_reads_as_a_sign_of_its_own_is_told_to_be_quoted(tmp_path: Path, value: str) -> None:
    (problem,) = errors(tmp_path, [f"name={value}"])
    assert f"begins with {value.strip()[0]} stands in quotes" in problem.message
    assert load(tmp_path, [f'name="{value}"']).data["name"] == value
