"""The miniatures under the real libraries and this project's handlers. Needs `make serve-venv`."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.sandbox.miniatures import models, shapes, svd, svd_unet, svd_vae, weights
from sagepack.serving import model_server
from tests.helpers import handlers, pictures, safetensors
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagepack.sandbox.miniatures.weights import Tensor
    from tests.helpers.pictures import Picture

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]

MOVES = [0, 4, 8, 12]
SAMPLE: dict[str, Any] = json.loads((ROOT / "config" / "samples" / "svd.json").read_text(encoding="utf-8"))


SHAPES = """
import json, sys, diffusers, torch, transformers
with torch.device("meta"):
    models = [transformers.LlavaForConditionalGeneration(transformers.AutoConfig.from_pretrained(sys.argv[2]))]
    for name, part in (("UNetSpatioTemporalConditionModel", "unet"), ("AutoencoderKLTemporalDecoder", "vae")):
        kind = getattr(diffusers, name)
        models.append(kind.from_config(kind.load_config(sys.argv[1], subfolder=part)))
for model in models:
    print(json.dumps({name: list(tensor.shape) for name, tensor in model.state_dict().items()}))
"""


def random_unet() -> dict[str, Tensor]:
    return weights.tensors(shapes.unet(svd_unet.WIDTH, 32, 3 * 1184))


def misread_gate() -> Mapping[str, Tensor]:
    made = svd_unet.tensors(32, 3 * 1184)
    made.bias("mid_block.attentions.0.time_pos_embed.linear_1", 6, 0)
    return made.content()


def swapped_colours() -> Mapping[str, Tensor]:
    made = svd_vae.tensors()
    made.put("decoder.time_conv_out", 0, 0, 0)
    made.put("decoder.time_conv_out", 0, 2, 1)
    return made.content()


BROKEN = {
    "a UNet with random weights": ("unet", random_unet, "frame 0: top left is"),
    "one wrong bias of a gate": ("unet", misread_gate, "nearest to a move of"),
    "red that shows blue": ("vae", swapped_colours, "frame 0: top left is"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The miniature as a package has it: in half precision alone."""
    folder = tmp_path_factory.mktemp("miniature")
    for path, content in svd.files():
        if path.endswith((".fp16.safetensors", ".json")):
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llava")
    models.write(models.LLAVA, folder)
    return folder


@pytest.fixture(scope="module")
def still() -> Picture:
    return pictures.decoded([SAMPLE["inputs"]], (SAMPLE["width"], SAMPLE["height"]))[0]


def frames(folder: Path, *requests: dict[str, Any]) -> list[list[Picture]]:
    return [pictures.decoded(answer["frames"]) for answer in handlers.ask("svd", folder, requests)]


def test_the_frames_show_the_picture_and_move_it(folder: Path, still: Picture) -> None:
    few, many, other, strong = frames(
        folder,
        SAMPLE,
        {**SAMPLE, "num_inference_steps": 6},
        {**SAMPLE, "seed": 7},
        {**SAMPLE, "max_guidance_scale": 20},
    )
    for made in (few, many, other, strong):
        assert pictures.faults(still, made, MOVES) == []
    assert few[3].distance(still.moved(12)) < few[3].distance(still) / 2
    assert 0 < few[0].distance(other[0]) < 2


@pytest.mark.parametrize("fault", BROKEN)
def test_weights_that_are_wrong_show_in_the_frames(fault: str, folder: Path, still: Picture, tmp_path: Path) -> None:
    part, made, told = BROKEN[fault]
    shutil.copytree(folder, tmp_path / "broken")
    file = tmp_path / "broken" / part / "diffusion_pytorch_model.fp16.safetensors"
    file.write_bytes(weights.safetensors(made(), "F16"))
    ((*found,),) = frames(tmp_path / "broken", SAMPLE)
    assert told in "\n".join(pictures.faults(still, found, MOVES))


def test_the_libraries_make_the_same_tensors_of_the_configurations(folder: Path, llava: Path) -> None:
    expected = map(json.loads, handlers.run(["-c", SHAPES, str(folder), str(llava)], "", {}).splitlines())
    weights = (llava.glob("*.safetensors"), *(folder.glob(f"{part}/*.safetensors") for part in ("unet", "vae")))
    for files, wanted in zip(weights, expected, strict=True):
        headers = [safetensors.parse(file.read_bytes())[0] for file in files]
        assert {name: tensor["shape"] for header in headers for name, tensor in header.items()} == wanted


def test_llava_says_the_same_to_every_question_and_hardly_depends_on_chance(llava: Path) -> None:
    sample = json.loads((ROOT / "config" / "samples" / "llava.json").read_text(encoding="utf-8"))
    requests = [
        sample,
        {**sample, "question": "Why? " * 700},
        {**sample, "temperature": 1.0, "seed": 7},
        {**sample, "max_new_tokens": 1},
    ]
    answers = [answer["answer"] for answer in handlers.ask("llava", llava, requests)]
    assert answers == ["The picture is light blue above and green below."] * 3 + ["The picture is"]
