"""Generated models in the layout of Stable Video Diffusion (fp16), of any size and the same at every run.

The weights look like weights to a compressor: half-precision numbers of a normal distribution, which level 9 shrinks
by some 8 %. One block of them is repeated, far beyond the window of deflate.
"""

from __future__ import annotations

import random
import struct
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

UNITS = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}

# Shares of the real repository: unet 3.05 GB, image encoder 1.26 GB, vae 0.20 GB.
WEIGHTS = {
    "image_encoder/model.fp16.safetensors": 0.280,
    "unet/diffusion_pytorch_model.fp16.safetensors": 0.677,
    "vae/diffusion_pytorch_model.fp16.safetensors": 0.043,
}
CONFIGS = (
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "model_index.json",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "vae/config.json",
)
CODE = "code/inference.py"
_NUMBERS = 1 << 19


def parse_size(text: str) -> int:
    """Bytes of `256M`, `4G` or a plain number."""
    unit = UNITS.get(text[-1:].upper())
    return int(text[:-1]) * unit if unit else int(text)


def weights(seed: int) -> bytes:
    """A block of half-precision numbers as a trained layer has them."""
    source = random.Random(seed)
    return struct.pack(f"<{_NUMBERS}e", *(source.gauss(0, 0.02) for _ in range(_NUMBERS)))


def make_model(folder: Path, size: int, seed: int = 1) -> None:
    """Write a model of about `size` bytes, with a small `code/`, into the new folder `folder`."""
    block = weights(seed)
    for turn, (name, share) in enumerate(WEIGHTS.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rotated = block[2 * turn :] + block[: 2 * turn]
        with path.open("wb") as file:
            for start in range(0, int(size * share), len(rotated)):
                file.write(rotated[: int(size * share) - start])
    for name in CONFIGS:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'{{"_class_name": "{name}", "seed": {seed}}}\n')
    (folder / "code").mkdir()
    (folder / CODE).write_text("def model_fn(model_dir):\n    return model_dir\n" * 40)
    (folder / "code/requirements.txt").write_text("diffusers==0.27.2\n")


def notebook_archive(model: Path, target: Path) -> None:
    """The archive that the sample notebook makes of a folder: gzip at level 9, which is tarfile's default."""
    with tarfile.open(target, "w:gz") as tar:
        tar.add(model, ".")
