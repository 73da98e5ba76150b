"""`new` looks at a repository, and writes a spec and a handler that are valid and package as they are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from sagepack import Project
from sagepack import sandbox as own_sandbox
from sagepack.api import starting
from sagepack.errors import RemoteError, UserError
from sagepack.hub.client import Hub
from sagepack.sandbox import adding
from sagepack.scaffold import found
from tests.helpers import model_samples
from tests.helpers.hostile_hub import HostileHub, answer
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

Repository = dict[str, "str | bytes | dict[str, Any]"]
WEIGHTS = (2).to_bytes(8, "little") + b"{}"
CARD = "---\nlicense: {licence}\n{more}---\n# A model\n"
REPOSITORIES: dict[str, Repository] = {
    "mood": {
        "config.json": {"architectures": ["BertForSequenceClassification"], "torch_dtype": "float32"},
        "model.safetensors": WEIGHTS,
        "pytorch_model.bin": WEIGHTS * 9,
        "tf_model.h5": WEIGHTS,
        "README.md": CARD.format(licence="apache-2.0", more="pipeline_tag: text-classification\n"),
    },
    "sentences": {
        "config.json": {"architectures": ["BertModel"]},
        "modules.json": "[]",
        "1_Pooling/config.json": {"pooling_mode_cls_token": False},
        "model.safetensors": WEIGHTS,
    },
    "painter": {
        "model_index.json": {
            "_class_name": "StableDiffusionPipeline",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
        },
        **{
            f"{part}/diffusion_pytorch_model{variant}.safetensors": WEIGHTS
            for part in ("unet", "vae")
            for variant in ("", ".fp16")
        },
        "all-in-one.safetensors": WEIGHTS,
    },
    "chat-gguf": {f"chat.{name}.gguf": model_samples.gguf(1, 1) for name in ("Q2_K", "Q4_K_M", "Q8_0")},
    "clever": {
        "config.json": {
            "architectures": ["CleverForCausalLM"],
            "auto_map": {"AutoModelForCausalLM": "modeling_clever.CleverForCausalLM"},
            "quantization_config": {"quant_method": "awq"},
        },
        "modeling_clever.py": "class CleverForCausalLM: ...\n",
        "model.safetensors": WEIGHTS,
    },
    "eyes": {"config.json": {"architecture": "resnet50"}, "model.safetensors": WEIGHTS, "README.md": CARD.format(licence="mit", more="library_name: timm\n")},
    "film": {"model_index.json": {"_class_name": "StableVideoDiffusionPipeline"}, "unet/config.json": {}},
    "look": {"config.json": {"architectures": ["LlavaForConditionalGeneration"]}, "model.safetensors": WEIGHTS},
}  # fmt: skip


def written(folder: Path, files: Repository) -> Path:
    """The folder of a repository."""
    for path, content in files.items():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(content) if isinstance(content, dict) else content
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose sandbox holds the repositories."""
    root = tmp_path_factory.mktemp("project")
    starting.init(root, "first", model="stabilityai/stable-video-diffusion-img2vid-xt-1-1")
    box = own_sandbox.ensure(root)
    for name, files in REPOSITORIES.items():
        adding.add(box, f"acme/{name}", written(root / "models" / name, files))
    yield root
    own_sandbox.stop(root)


KINDS = [
    ("mood", "text-classification", "pipeline", "ml.m5.xlarge"),
    ("sentences", "feature-extraction", "pipeline", "ml.m5.xlarge"),
    ("painter", "text-to-image", "text_to_image", "ml.g5.2xlarge"),
    ("chat-gguf", "other", "skeleton", "ml.g5.2xlarge"),
    ("clever", "text-generation", "pipeline", "ml.g5.2xlarge"),
    ("eyes", "other", "skeleton", "ml.g5.2xlarge"),
    ("film", "image-to-video", "svd", "ml.g5.2xlarge"),
    ("look", "image-text-to-text", "llava", "ml.g5.2xlarge"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "task", "handler", "instance_type"), KINDS)
def test_what_is_written_for_a_repository_is_valid(
    root: Path, name: str, task: str, handler: str, instance_type: str
) -> None:
    made = starting.new(root, name, model=f"acme/{name}")
    assert (made.task, made.instance_type) == (task, instance_type)
    code = root / "inference_code" / name / "inference.py"
    assert code.read_bytes() == (ROOT / "inference_code" / handler / "inference.py").read_bytes()
    project = Project(root, config=made.spec)
    project.validate()
    assert [str(warning) for warning in project.warnings] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", REPOSITORIES)
def test_what_is_written_for_a_repository_packages(root: Path, name: str) -> None:
    made = starting.new(root, f"{name}-too", model=f"acme/{name}")
    assert Project(root, config=made.spec).package().archive


def test_it_says_what_it_saw_and_what_it_assumed_with_the_key_to_change(root: Path) -> None:
    mood = starting._model(root, "again", "acme/mood", "", "")
    assert mood.found.seen == (
        "it is: transformers, BertForSequenceClassification, text-classification",
        "files: 2 files, 88 B; leaving out 3 files saves 172 B",
        "weights: 10 B of float32",
        "licence: apache-2.0",
    )
    painter = starting._model(root, "again", "acme/painter", "", "")
    (variant,) = (line for line in painter.lines() if line.startswith("variant: fp16 # 3 files, "))
    assert variant.endswith("; leaving out 3 files saves 30 B")
    notes = starting._model(root, "again", "acme/clever", "", "").found.notes
    assert any(note.startswith("code.path: the model has Python code of its own (auto_map)") for note in notes)
    assert any(note.startswith("code.requirements: ") and "autoawq" in note for note in notes)
    assert 'exclude: ["*.py"]' in "\n".join(starting._model(root, "again", "acme/clever", "", "").lines())
    assert 'include: ["chat.Q4_K_M.gguf"]' in "\n".join(starting._model(root, "a", "acme/chat-gguf", "", "").lines())


def test_a_gate_is_said_with_its_page_and_hides_nothing_that_is_needed(
    sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = written(tmp_path / "gated", {**REPOSITORIES["mood"]})
    commit = sandbox.hub.repositories.add("acme/gated", folder, gated=True)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", sandbox.hub_url)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    (tmp_path / "project").mkdir()
    made = starting.init(tmp_path / "project", "mood", model="acme/gated")
    assert made.task == "text-classification"
    assert any(f"accept its conditions at {sandbox.hub_url}/acme/gated" in note for note in made.assumptions)
    text = (tmp_path / "project" / made.spec).read_text()
    assert f"revision: {commit}" in text
    assert f"# Gated: accept its conditions at {sandbox.hub_url}/acme/gated once" in text


@pytest.mark.parametrize("task", ["", "fill-mask"])
def test_a_repository_that_is_not_there_is_refused_unless_the_task_is_said(
    sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", sandbox.hub_url)
    if task:
        made = starting.init(tmp_path, "mood", model="acme/nothing", task=task)
        assert any("the Hub did not say what the model is" in note for note in made.assumptions)
        return
    with pytest.raises(UserError, match="there is no such repository") as caught:
        starting.init(tmp_path, "mood", model="acme/nothing")
    assert "say with --task what it is for" in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("kind", "told"), [("datasets", "this is a dataset"), ("spaces", "this is a Space")])
def test_a_dataset_or_a_space_is_no_model(kind: str, told: str) -> None:
    def respond(path: str) -> tuple[bytes, ...]:
        return (
            answer({"id": "a/b"})
            if path.startswith(f"/api/{kind}/")
            else answer("{}", 404, X_Error_Code="RepoNotFound")
        )

    with HostileHub(respond) as hub, pytest.raises(UserError, match=told):
        found.in_repository(Hub(hub.url, "hf_x"), "a/b")


def test_a_gate_that_hides_the_list_of_files_too_leaves_what_the_hub_says() -> None:
    info = {"sha": "0" * 40, "gated": "manual", "pipeline_tag": "text-generation", "cardData": {"license": "llama3"}}

    def respond(path: str) -> tuple[bytes, ...]:
        return answer("{}", 403, X_Error_Code="GatedRepo") if "/tree/" in path else answer(info)

    with HostileHub(respond) as hub:
        facts, files = found.in_repository(Hub(hub.url, "hf_x"), "a/b")
    assert (facts.gate, facts.task, facts.licence, files) == ("manual", "text-generation", "llama3", None)


def test_a_hub_that_cannot_be_reached_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(found, "SECONDS", 0.2)
    with pytest.raises(RemoteError) as caught:
        starting.init(tmp_path, "mood", model="acme/nothing")
    assert "--task" in str(caught.value.fix)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("model", "fix"),
    [
        ("https://huggingface.co/acme/mood/tree/main", "write --model acme/mood"),
        ("gpt2", "write --model openai-community/gpt2"),
        ("https://huggingface.co/datasets/acme/mood", "this is a dataset"),
        ("spaces/acme/mood", "this is a space"),
        ("acme", "write it as owner/name"),
    ],
)
def test_what_is_no_repository_is_refused_with_what_to_write(tmp_path: Path, model: str, fix: str) -> None:
    with pytest.raises(UserError, match="is no repository of the Hub") as caught:
        starting.init(tmp_path, "mood", model=model)
    assert fix in str(caught.value.fix)


def test_a_name_that_is_taken_is_refused_before_the_hub_is_asked(root: Path) -> None:
    with pytest.raises(UserError, match="this spec exists already"):
        starting.new(root, "first", model="acme/unknown")
