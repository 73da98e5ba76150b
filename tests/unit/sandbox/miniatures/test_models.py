"""The miniature models: the same bytes everywhere, in the format and with the files of the real ones."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.sandbox.miniatures import models as miniature
from sagepack.sandbox.miniatures import weights
from sagepack.sandbox.miniatures.models import LLAVA, MODELS, SVD
from tests.helpers.safetensors import parse

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.miniatures.models import Miniature

WIDTHS = {"F32": 4, "F16": 2}
GOLDEN = {
    "llava-hf/llava-1.5-7b-hf": "d171f129aecc14a4e8d310aecc925842207431a1487828a61293bc3a0d7edf74",
    "stabilityai/stable-video-diffusion-img2vid-xt-1-1": "9cf4f8b606d81f57bb10907ce90256febc6b318f1553499194fc2f71b2c6435a",
}
"""SHA-256 over `sha256  path` lines of all files. Raise `miniature.VERSION` when one of them changes."""


@cache
def contents(model: Miniature) -> dict[str, bytes]:
    return dict(model.files())


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_the_bytes_of_a_miniature_never_change(model: Miniature) -> None:
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(contents(model).items())]
    assert hashlib.sha256("".join(lines).encode()).hexdigest() == GOLDEN[model.name]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_safetensors_file_is_whole(model: Miniature) -> None:
    for path, data in contents(model).items():
        if not path.endswith(".safetensors"):
            continue
        header, body = parse(data)
        spans = sorted(item["data_offsets"] for item in header.values())
        assert [end for _, end in spans[:-1]] == [start for start, _ in spans[1:]]
        assert (spans[0][0], spans[-1][1]) == (0, len(body))
        assert (len(data) - len(body)) % 8 == 0
        for item in header.values():
            start, end = item["data_offsets"]
            assert end - start == math.prod(item["shape"]) * WIDTHS[item["dtype"]], path


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "image_encoder/model"])
def test_the_fp16_variant_is_the_fp32_one_rounded(part: str) -> None:
    (whole, whole_data), (half, half_data) = (
        parse(contents(SVD)[f"{part}{suffix}.safetensors"]) for suffix in ("", ".fp16")
    )
    assert set(whole) == set(half)
    for name in whole:
        (start, end), (first, last) = whole[name]["data_offsets"], half[name]["data_offsets"]
        values = struct.unpack(f"<{(end - start) // 4}f", whole_data[start:end])
        assert struct.pack(f"<{len(values)}e", *values) == half_data[first:last]


def test_the_largest_file_of_the_fp16_variant_can_be_copied_as_a_part() -> None:
    assert len(contents(SVD)["unet/diffusion_pytorch_model.fp16.safetensors"]) > 5 << 20


def test_the_miniature_has_the_folders_and_files_of_the_real_repository() -> None:
    index = json.loads(contents(SVD)["model_index.json"])
    parts = {name for name, value in index.items() if isinstance(value, list)}
    assert parts == {path.partition("/")[0] for path in contents(SVD) if "/" in path}
    assert {"svd_xt_1_1.safetensors", "README.md", "LICENSE.md", ".gitattributes"} <= set(contents(SVD))


def test_the_folder_of_a_miniature_is_made_once_with_all_its_files(tmp_path: Path) -> None:
    small = miniature.Miniature("me/mine", "0" * 40, gated=False, files=lambda: iter([("a/b", b"1"), ("c", b"2")]))
    folder = miniature.ensure(small, tmp_path)
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*")} == {"a", "a/b", "c"}
    (folder / "c").unlink()
    assert miniature.ensure(small, tmp_path) == folder
    assert not (folder / "c").exists()
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_failure_while_a_miniature_is_made_leaves_no_folder(tmp_path: Path) -> None:
    def files() -> Any:
        yield "a", b"1"
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        miniature.ensure(miniature.Miniature("me/mine", "0" * 40, gated=False, files=files), tmp_path)
    assert list((tmp_path / "me" / "mine").iterdir()) == []


@given(st.text(min_size=1, max_size=20).map(lambda name: name + ".x"), st.integers(1, 300))
def test_weights_are_small_finite_and_different(name: str, count: int) -> None:
    values = struct.unpack(f"<{count}e", weights.half(name, (count, 1)))
    assert all(2**-10 <= abs(value) < 2**-4 for value in values)
    assert count < 10 or len(set(values)) > count // 2


def test_biases_norms_and_mixing_factors_are_neutral() -> None:
    for name, value in (("a.bias", 0.0), ("norm.weight", 1.0), ("time_mixer.mix_factor", 0.5)):
        assert struct.unpack("<3e", weights.half(name, (3,))) == (value,) * 3


def test_the_index_of_the_shards_names_the_file_of_every_tensor() -> None:
    files = contents(LLAVA)
    index = json.loads(files["model.safetensors.index.json"])
    expected = {name: path for path in files if path.endswith(".safetensors") for name in parse(files[path])[0]}
    assert index["weight_map"] == expected
    assert len(set(expected.values())) == 3
    assert index["metadata"]["total_size"] == sum(len(parse(files[path])[1]) for path in set(expected.values()))
