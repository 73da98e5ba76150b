"""What `new` writes for a model serves it in the sandbox, without a change of a line. Needs `sagepack serve.install` and Java."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack import Project, sandbox
from sagepack.api import starting
from sagepack.sandbox import adding
from sagepack.serving import model_server
from tests.helpers import handlers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

CLASSIFIER = """
import sys
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
folder, words = sys.argv[1], "[PAD] [UNK] [CLS] [SEP] [MASK] i like this very much .".split()
open(folder + "/vocab.txt", "w").write("\\n".join(words))
BertTokenizer(folder + "/vocab.txt").save_pretrained(folder)
small = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
BertForSequenceClassification(BertConfig(vocab_size=len(words), **small)).save_pretrained(folder)
"""
PAINTER = """
import json, sys, torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer
folder, signs = sys.argv[1], "abcdefghijklmnopqrstuvwxyz,"
words = ["<|startoftext|>", "<|endoftext|>", *signs, *(sign + "</w>" for sign in signs)]
json.dump({word: number for number, word in enumerate(words)}, open(folder + "/vocab.json", "w"))
open(folder + "/merges.txt", "w").write("#version: 0.2\\n")
text = CLIPTextConfig(vocab_size=99, hidden_size=32, intermediate_size=37, num_attention_heads=4, num_hidden_layers=2, eos_token_id=1)
pipeline = StableDiffusionPipeline(
    vae=AutoencoderKL(block_out_channels=[32] * 4, down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4),
    text_encoder=CLIPTextModel(text),
    tokenizer=CLIPTokenizer(folder + "/vocab.json", folder + "/merges.txt", model_max_length=77),
    unet=UNet2DConditionModel(
        block_out_channels=(32, 64), layers_per_block=1, sample_size=8, cross_attention_dim=32,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"), up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    ),
    scheduler=DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1),
    safety_checker=None, feature_extractor=None, requires_safety_checker=False,
)
pipeline.save_pretrained(folder)
pipeline.to(torch.float16).save_pretrained(folder, variant="fp16")
"""  # fmt: skip


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("project")
    starting.init(root, "first", model="stabilityai/stable-video-diffusion-img2vid-xt-1-1")
    yield root
    sandbox.stop(root)


@pytest.mark.parametrize(
    ("name", "program", "task"), [("mood", CLASSIFIER, "text-classification"), ("painter", PAINTER, "text-to-image")]
)
def test_a_model_of_the_hub_answers_its_sample_with_what_new_wrote(
    root: Path, name: str, program: str, task: str
) -> None:
    folder = root / "models" / name
    folder.mkdir(parents=True)
    handlers.run(["-c", program, str(folder)], "", {})
    adding.add(sandbox.ensure(root), f"acme/{name}", folder)
    made = starting.new(root, name, model=f"acme/{name}")
    assert made.task == task
    project = Project(root, config=made.spec)
    deployed = project.deploy().endpoint  # the smoke test got the answer that the spec expects, twice
    assert deployed is not None
    assert deployed.name == name
    project.destroy()
