"""What a model is: from the files of a folder, from the Hub, or assumed."""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.hub.responses import ModelFacts, info_of
from sagepack.scaffold import found

if TYPE_CHECKING:
    from pathlib import Path

COMMIT = "0" * 40


@pytest.mark.parametrize(
    ("name", "document", "class_name"),
    [
        ("config.json", {"architectures": ["BertForSequenceClassification"]}, "BertForSequenceClassification"),
        ("model_index.json", {"_class_name": "StableVideoDiffusionPipeline"}, "StableVideoDiffusionPipeline"),
        ("config.json", {}, None),
    ],
)
def test_a_folder_says_what_its_model_is(
    tmp_path: Path, name: str, document: dict[str, object], class_name: str | None
) -> None:
    (tmp_path / name).write_text(json.dumps(document))
    assert found.in_folder(tmp_path) == ModelFacts(class_name)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds no model"):
        found.in_folder(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        found.in_folder(tmp_path / "nothing")
    (tmp_path / "config.json").write_text("[1]")
    with pytest.raises(UserError, match=r"config\.json: this is no description of a model"):
        found.in_folder(tmp_path)


def test_the_hub_says_class_task_and_commit() -> None:
    info = {
        "sha": COMMIT,
        "pipeline_tag": "image-to-video",
        "config": {"diffusers": {"_class_name": "StableVideoDiffusionPipeline"}},
    }
    assert info_of(json.dumps(info).encode()) == ModelFacts("StableVideoDiffusionPipeline", "image-to-video", COMMIT)
    assert info_of(json.dumps({"sha": COMMIT}).encode()) == ModelFacts(commit=COMMIT)


def test_a_hub_that_refuses_or_is_slow_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> ModelFacts:
        raise UserError("there is no such repository")

    assert found.on_hub(refuse) == "there is no such repository"
    monkeypatch.setattr(found, "SECONDS", 0.01)
    release = threading.Event()
    assert found.on_hub(lambda: (release.wait(60), ModelFacts())[1]) == "no answer within 0 s"
    release.set()


def test_what_is_assumed_is_said() -> None:
    facts = found.model("no answer within 5 s", None)
    assert facts.kind.task == "text-classification"
    assert any("no answer within 5 s" in note for note in facts.notes)
    assert any("--task" in note for note in facts.notes)


def test_an_image_that_the_sandbox_does_not_serve_with_is_said_to_be_one(tmp_path: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "transformers_version": "5.1.0"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = found.model(found.in_folder(tmp_path), None)
    assert "-transformers5.5.3-cpu-" in made.image
    assert any("saved with transformers 5.1.0" in note for note in made.notes)


def test_a_model_that_is_too_large_for_the_instance_type_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    with (tmp_path / "deep" / "model.safetensors").open("wb") as file:
        file.truncate(5 << 30)
    size = found.size_of(tmp_path)
    facts = ModelFacts("BertForSequenceClassification")
    assert found.model(facts, None, size).notes == ("its files have 5.0 GiB: choose an instance type with more memory",)
    assert found.model(facts, "text-generation", size).notes == ()


def test_the_users_word_for_the_task_counts_more_than_what_was_found() -> None:
    assert found.model(ModelFacts("StableDiffusionXLPipeline"), "fill-mask").kind.task == "fill-mask"
