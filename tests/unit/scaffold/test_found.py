"""What a model is: from the files of a folder, from the Hub, or assumed."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import RemoteError, UserError
from sagepack.hub.responses import ModelFacts, config_of, info_of
from sagepack.scaffold import found, sizes

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
    facts, files = found.in_folder(tmp_path)
    assert facts == ModelFacts(class_name)
    assert files is not None
    assert (files.weights, files.size) == (0, (tmp_path / name).stat().st_size)


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
        "library_name": "diffusers",
        "gated": "auto",
        "cardData": {"license": "other"},
        "safetensors": {"parameters": {"F32": 10, "F16": 20}},
    }
    assert info_of(json.dumps(info).encode()) == ModelFacts(
        "StableVideoDiffusionPipeline",
        "image-to-video",
        COMMIT,
        library="diffusers",
        licence="other",
        gate="auto",
        dtype="float16",
    )
    assert info_of(json.dumps({"sha": COMMIT}).encode()) == ModelFacts(commit=COMMIT)
    oddities: list[dict[str, object]] = [
        {"gated": False, "cardData": {"license": [{}]}},
        {"config": {"torch_dtype": {}}},
        {"cardData": None},
    ]
    for odd in oddities:
        assert info_of(json.dumps({"sha": COMMIT, **odd}).encode()) == ModelFacts(commit=COMMIT)
    several = {"sha": COMMIT, "cardData": {"license": ["mit", "apache-2.0"]}}
    assert info_of(json.dumps(several).encode()) == ModelFacts(commit=COMMIT, licence="mit, apache-2.0")


def test_a_model_says_its_type_its_own_code_and_its_quantization() -> None:
    config = {
        "torch_dtype": "bfloat16",
        "auto_map": {"AutoModel": "m.M"},
        "quantization_config": {"quant_method": "awq"},
    }
    facts = config_of(json.dumps(config).encode())
    assert (facts.dtype, facts.has_code, facts.quantization) == ("bfloat16", True, "awq")
    assert config_of(b'{"dtype": "torch.float16"}').dtype == "float16"
    own = config_of(b'{"_class_name": ["my_pipeline", "MyPipeline"]}')
    assert (own.class_name, own.has_code) == ("MyPipeline", True)


@pytest.mark.parametrize("value", [1, [], [[]], {}, {"a": None}, "", "x" * 1000, True, None])
def test_what_has_an_unexpected_type_counts_as_absent(value: object) -> None:
    names = ("architectures", "_class_name", "transformers_version", "torch_dtype", "dtype", "quantization_config")
    for name in names:
        facts = config_of(json.dumps({name: value}).encode())
        assert dataclasses.replace(facts, has_code=False) == ModelFacts()
        info = {"sha": COMMIT, "config": {name: value}, "cardData": value}
        assert dataclasses.replace(info_of(json.dumps(info).encode()), has_code=False) == ModelFacts(commit=COMMIT)


@pytest.mark.parametrize(
    ("header", "dtype"),
    [
        ({"a": {"dtype": "F16", "data_offsets": [0, 9]}, "b": {"dtype": "F32", "data_offsets": [9, 12]}}, "float16"),
        ({"__metadata__": {"format": "pt"}, "a": {"dtype": "BF16", "data_offsets": [0, 2]}}, "bfloat16"),
        ({}, None),
        ({"a": {"dtype": "F16", "data_offsets": "x"}, "b": 1}, None),
        ([], None),
    ],
)
def test_the_weights_of_a_folder_say_their_type_where_the_configuration_does_not(
    tmp_path: Path, header: object, dtype: str | None
) -> None:
    text = json.dumps(header).encode()
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    assert found.in_folder(tmp_path)[0].dtype == dtype
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 9)
    assert found.in_folder(tmp_path)[0].dtype is None


def test_a_hub_that_is_slow_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(found, "SECONDS", 0.01)
    release = threading.Event()
    with pytest.raises(RemoteError, match="did not answer within"):
        found._in_time(lambda: release.wait(60), "a/b")
    release.set()


def test_what_is_assumed_is_said() -> None:
    facts = found.model(ModelFacts(), None, unknown="no answer")
    assert facts.kind.task == "text-classification"
    assert any("no answer" in note for note in facts.notes)
    assert any("--task" in note for note in facts.notes)


def test_an_image_that_the_sandbox_does_not_serve_with_is_said_to_be_one(tmp_path: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "transformers_version": "5.1.0"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    made = found.model(*found.in_folder(tmp_path)[:1], None)
    assert "-transformers5.5.3-cpu-" in made.image
    assert any("saved with transformers 5.1.0" in note for note in made.notes)


@pytest.mark.parametrize(
    ("task", "gib", "dtype", "instance_type", "why"),
    [
        ("text-classification", 1, "float32", "ml.m5.xlarge", "16 GB of memory and no GPU"),
        ("text-classification", 6, "float32", "ml.m5.2xlarge", "32 GB of memory and no GPU"),
        ("text-classification", 9, "float32", "ml.g5.2xlarge", "one GPU with 24 GB"),
        ("text-generation", 1, "float32", "ml.m5.xlarge", "no GPU"),
        ("text-generation", 14, "bfloat16", "ml.g5.2xlarge", "one GPU with 24 GB"),
        ("text-generation", 26, "float16", "ml.g6e.2xlarge", "one GPU with 48 GB"),
        ("text-generation", 60, "float16", "ml.p5.4xlarge", "one GPU with 80 GB"),
        ("text-generation", 140, "float16", "ml.p5.4xlarge", "which fits none of these"),
        ("image-text-to-text", 26, "float32", "ml.g5.2xlarge", "one GPU with 24 GB"),
    ],
)
def test_the_instance_type_has_the_memory_that_the_model_needs_as_the_handler_loads_it(
    task: str, gib: int, dtype: str, instance_type: str, why: str
) -> None:
    files = found.Files(size=gib << 30, weights=gib << 30, reason="")
    made = found.model(ModelFacts(dtype=dtype), task, files)
    assert (made.instance_type, why in made.why) == (instance_type, True), made.why
    assert f"-{'gpu' if 'ml.m5' not in instance_type else 'cpu'}-" in made.image
    assert any(note.startswith("endpoint.instance_type: ") for note in made.notes)


def test_a_larger_package_gets_more_time_and_never_more_than_sagemaker_takes() -> None:
    times = [sizes.seconds_to_download(size << 30) for size in (0, 1, 10, 30, 80, 900)]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (600, 3600)
    assert sizes.seconds_to_start(80 << 30) == 3600
    assert sizes.seconds_to_download(None) == 1800


@pytest.mark.parametrize(
    ("paths", "include"),
    [
        (["m.Q2_K.gguf", "m.Q4_K_M.gguf", "m.Q8_0.gguf", "README.md"], ("m.Q4_K_M.gguf",)),
        (["m-q8_0-00001-of-00002.gguf", "m-q8_0-00002-of-00002.gguf"], ("m-q8_0-*.gguf",)),
        (["a.gguf", "mmproj-a.gguf"], ("a.gguf",)),
        (["config.json", "model.safetensors", "a.gguf"], ()),
    ],
)
def test_of_several_gguf_files_one_is_taken(paths: list[str], include: tuple[str, ...]) -> None:
    files = found.chosen([found._Listed(path, 1 << 30) for path in paths], {})
    assert files is not None
    assert files.include == include
    if len(paths) == 4:
        assert files.reason == "1 file, 1.0 GiB; leaving out 3 files saves 3.0 GiB"


def test_the_users_word_for_the_task_counts_more_than_what_was_found() -> None:
    assert found.model(ModelFacts("StableDiffusionXLPipeline"), "fill-mask").kind.task == "fill-mask"
    assert found.model(ModelFacts("BertForMaskedLM"), "other").kind.handler == "skeleton"
