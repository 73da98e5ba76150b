"""What `init` and `new` write is valid for this program and for an editor, whatever the model is."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from sagepack.hub.responses import ModelFacts
from sagepack.scaffold import found, kinds, project, writing
from sagepack.spec import loader, validate
from tests.helpers.paths import ROOT, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMIT = "043843887ccd51926e3efed36270444a838e7861"
_MODELINE = re.compile(r"^# yaml-language-server: \$schema=(.*)$", re.MULTILINE)
_OPTIONAL = re.compile(r"^(?P<indent> *)# (?P<key>[a-z_]+): ", re.MULTILINE)


def model(task: str = "text-classification", commit: str | None = COMMIT) -> project.Model:
    return project.Model("toy", found.model(ModelFacts(commit=commit), task), id="owner/toy")


def written(root: Path, of: project.Model) -> Path:
    """A project on disk."""
    writing.write_new(root, {**project.of_project(of), **project.of_model(of)})
    return root


@pytest.mark.parametrize("env", ["local", pytest.param("dev", marks=pytest.mark.slow), "prod"])
@pytest.mark.parametrize("task", kinds.TASKS)
def test_a_new_project_is_valid_in_every_environment(tmp_path: Path, task: str, env: str) -> None:
    root = written(tmp_path, model(task))
    document = loader.load(root / "config" / "toy.yaml", env, (), root)
    found_wrong = validate.check(document, root, contents=True)
    assert [warning.message for warning in found_wrong if "documentation" not in warning.message] == []
    spec = document.spec()
    assert (spec.name, spec.endpoint.name, spec.model.revision) == ("toy", "toy", COMMIT)
    assert spec.sample
    assert json.loads((root / str(spec.sample.file)).read_text())


@pytest.mark.parametrize("gib", [1, 6, 14, 26, 60, 140])
@pytest.mark.parametrize("task", ["text-generation", "text-classification", "text-to-image"])
def test_a_spec_for_a_model_of_any_size_is_valid(tmp_path: Path, task: str, gib: int) -> None:
    files = found.Files(
        gib << 30, gib << 30, f"9 files, {gib} GiB", "fp16" if "image" in task else None, ("a*.gguf", "b")
    )
    made = found.model(ModelFacts(commit=COMMIT, dtype="float16"), task, files)
    root = written(tmp_path, project.Model("toy", made, id="owner/toy", gate="https://huggingface.co/owner/toy"))
    document = loader.load(root / "config" / "toy.yaml", "prod", (), root)
    told = validate.check(document, root, contents=True)
    assert [str(warning) for warning in told if "documentation" not in warning.message] == []
    spec = document.spec()
    assert spec.model.include == ("a*.gguf", "b")
    assert spec.endpoint.instance_type == made.instance_type
    offered = re.search(r"instance_type: (\S+), priority: 2", (root / "config" / "toy.yaml").read_text())
    assert offered is not None
    assert offered[1] != made.instance_type


@pytest.mark.parametrize("task", kinds.TASKS)
def test_every_key_that_is_a_comment_in_a_new_spec_is_a_key(tmp_path: Path, task: str) -> None:
    text = (written(tmp_path, model(task)) / "config" / "toy.yaml").read_text()
    offered = re.sub(_OPTIONAL, r"\g<indent>\g<key>: ", text)
    assert offered != text
    schema = json.loads((SCHEMAS / "spec.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(yaml.safe_load(offered))


def modelines(root: Path) -> Iterator[tuple[Path, str]]:
    """Every YAML file of a project with the schema that it names for editors."""
    for path in sorted((root / "config").rglob("*.yaml")):
        for schema in _MODELINE.findall(path.read_text()):
            yield path, schema


@pytest.mark.parametrize("where", ["here", "in a new project"])
def test_every_modeline_leads_to_a_schema_in_the_project(tmp_path: Path, where: str) -> None:
    root = ROOT if where == "here" else written(tmp_path, model())
    named = dict(modelines(root))
    assert {path.name for path in (root / "config" / "env").iterdir()} < {path.name for path in named}
    for path, schema in named.items():
        assert (path.parent / schema).resolve().is_file(), f"{path}: {schema}"


def test_the_schemas_of_a_project_are_those_of_the_program(tmp_path: Path) -> None:
    root = written(tmp_path, model())
    for path in (root / "config" / ".schemas").iterdir():
        assert path.read_bytes() == (SCHEMAS / path.name).read_bytes()
        for other in re.findall(r'"\$ref": "([^"#]+)', path.read_text()):
            assert (path.parent / other).is_file()


def test_a_handler_is_the_one_of_this_repository(tmp_path: Path) -> None:
    root = written(tmp_path, model("image-to-video"))
    code = root / "inference_code" / "toy"
    source = ROOT / "inference_code"
    assert (code / "inference.py").read_bytes() == (source / "svd" / "inference.py").read_bytes()
    assert (code / "handler_images.py").read_bytes() == (source / "shared" / "handler_images.py").read_bytes()


@pytest.mark.parametrize("task", ["image-to-video", "image-text-to-text", "text-classification"])
def test_a_handler_has_the_helpers_that_it_needs_and_no_others(tmp_path: Path, task: str) -> None:
    code = written(tmp_path, model(task)) / "inference_code" / "toy"
    helpers = {path.stem for path in code.glob("handler_*.py")}
    imported = [name for path in code.glob("*.py") for name in re.findall(r"from (handler_\w+)", path.read_text())]
    assert helpers == set(imported)
    assert {path.name for path in code.iterdir()} == {
        "inference.py",
        "request.schema.json",
        *(f"{name}.py" for name in helpers),
    }


@example("1" * 40)
@example("12345e" + "6" * 34)
@example("on")
@given(st.one_of(st.from_regex("[0-9e]{40}", fullmatch=True), st.text(min_size=1)))
def test_any_text_is_the_same_text_after_yaml(text: str) -> None:
    assume(all(character.isprintable() for character in text))
    assert yaml.safe_load(project._scalar(text)) == text


def test_without_a_commit_the_spec_names_a_branch_and_how_to_pin_it(tmp_path: Path) -> None:
    text = (written(tmp_path, model(commit=None)) / "config" / "toy.yaml").read_text()
    assert "  revision: main\n" in text
    assert "`sagepack lock --pin`" in text


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("stabilityai/stable-video-diffusion-img2vid-xt-1-1", "stable-video-diffusion-img2vid-xt-1-1"),
        ("acme/My_Model-v1.1", "my-model-v1-1"),
        ("../models/größe/", "gr-e"),
        ("/", ""),
    ],
)
def test_a_proposed_name_is_a_name(source: str, name: str) -> None:
    assert project.proposed_name(source) == name
    if name:
        project.check_name(name)
