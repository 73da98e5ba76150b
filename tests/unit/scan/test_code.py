"""The Python files that configurations make a loader run."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sagepack.scan import code
from sagepack.scan.finding import Kind
from sagepack.scan.ranges import Ranges


def found(path: str, document: Any) -> list[tuple[Kind, tuple[str, ...]]]:
    return [(finding.kind, finding.names) for finding in code.findings(path, whole(json.dumps(document).encode()))]


def whole(data: bytes) -> Ranges:
    return Ranges(lambda offset, length: data[offset : offset + length], len(data))


@pytest.mark.parametrize(
    ("path", "document", "names"),
    [
        ("config.json", {"auto_map": {"AutoModel": "modeling_x.Model"}}, ("modeling_x.py",)),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["tok.Slow", None]}}, ("tok.py",)),
        ("config.json", {"text_config": {"auto_map": {"AutoModel": "text.Model"}}}, ("text.py",)),
        ("config.json", {"parts": [{"deep": {"auto_map": {"AutoModel": "part.Model"}}}]}, ("part.py",)),
        ("te/config.json", {"auto_map": {"AutoModel": "m.Model"}}, ("te/m.py", "m.py")),
        ("config.json", {"custom_pipelines": {"task": {"impl": "pipe.Pipeline", "pt": ["AutoModel"]}}}, ("pipe.py",)),
        ("model_index.json", {"_class_name": ["my_pipe", "Pipe"]}, ("my_pipe.py",)),
        ("model_index.json", {"unet": ["my_unet", "UNet"]}, ("unet/my_unet.py", "my_unet.py")),
        ("modules.json", [{"type": "custom_st.Transformer"}], ("custom_st.py",)),
    ],
)
def test_code_of_the_model_is_named_with_its_files(path: str, document: Any, names: tuple[str, ...]) -> None:
    assert found(path, document) == [(Kind.CODE, names)]


def test_code_of_another_repository_is_found_in_the_configuration_of_a_part() -> None:
    document = {"model_type": "llava", "text_config": {"auto_map": {"AutoModel": "owner/name--modeling_x.Model"}}}
    assert found("config.json", document) == [(Kind.FOREIGN_CODE, ())]


def test_code_of_another_repository_is_told_apart() -> None:
    document = {"auto_map": {"AutoConfig": "owner/name--configuration_x.Config", "AutoModel": "modeling_x.Model"}}
    kinds = found("config.json", document)
    assert kinds == [(Kind.FOREIGN_CODE, ()), (Kind.CODE, ("modeling_x.py",))]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("config.json", {"architectures": ["Llama"], "auto_map": {}}),
        ("config.json", ["auto_map"]),
        ("config.json", {"auto_map": [1, None]}),
        ("model_index.json", {"_class_name": "Pipeline", "unet": ["diffusers", "UNet"], "x": [None, None], "n": 1}),
        ("modules.json", [{"type": "sentence_transformers.models.Transformer"}, 3]),
    ],
)
def test_a_configuration_without_code_says_nothing(path: str, document: Any) -> None:
    assert found(path, document) == []


@pytest.mark.parametrize(
    ("path", "document", "names"),
    [
        ("task.json", {"module": "os", "class_name": "system", "config": {}}, ("os.system",)),
        (
            "task.json",
            {
                "module": "keras_hub.src.models.gemma.gemma_causal_lm",
                "class_name": "GemmaCausalLM",
                "config": {"preprocessor": {"module": "my_code", "class_name": "Tokenizer"}},
            },
            ("my_code.Tokenizer",),
        ),
        ("gemma/config.json", {"module": "evil.models", "class_name": "Backbone"}, ("evil.models.Backbone",)),
        ("preprocessor.json", {"module": None, "class_name": "Lambda"}, ("keras.layers.Lambda",)),
        ("task.json", {"module": "keras_hub.src.models.bert", "class_name": "BertClassifier", "config": {}}, ()),
        ("config.json", {"parts": [{"module": "not", "class_name": "Keras"}]}, ()),
    ],
)
def test_a_preset_of_keras_hub_names_classes_of_keras_alone(path: str, document: Any, names: tuple[str, ...]) -> None:
    assert code.is_configuration(path)
    assert found(path, document) == ([(Kind.CALLS, names)] if names else [])


def test_what_is_no_json_is_left_to_its_loader() -> None:
    assert list(code.findings("config.json", whole(b"{" * 100))) == []


@pytest.mark.parametrize("name", ["notes.txt", "a/README", "config.json"])
def test_weights_in_a_file_that_is_not_looked_into_are_told(name: str) -> None:
    document = {"weight_map": {"a": "model-00001-of-00002.bin", "b": name}}
    kinds = found("pytorch_model.bin.index.json", document)
    assert kinds == [(Kind.UNREADABLE, ())]


def test_what_names_code_or_weights_is_a_configuration() -> None:
    for path in ("unet/config.json", "model_index.json", "model.safetensors.index.json", "config.4.0.0.json"):
        assert code.is_configuration(path), path
    for path in ("tokenizer.json", "vocab.json", "added_tokens.json", "config.yaml"):
        assert not code.is_configuration(path), path
