"""The miniature models of the sandbox's Hub: made on first use, without torch, the same bytes everywhere."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.sandbox.miniatures import llava as miniature_llava
from sagepack.sandbox.miniatures import svd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = 1
"""Part of the folder's name: raise it when the bytes of a miniature change, so that old folders are not believed."""


@dataclass(frozen=True)
class Miniature:
    """One model of the sandbox's Hub.

    Attributes:
        name: `owner/name` of the real repository.
        commit: a commit of the real repository, at which the miniature stands in for it.
        gated: whether the real repository is gated.
        files: makes path and content of every file.
    """

    name: str
    commit: str
    gated: bool
    files: Callable[[], Iterator[tuple[str, bytes]]]


SVD = Miniature(
    "stabilityai/stable-video-diffusion-img2vid-xt-1-1",
    "043843887ccd51926e3efed36270444a838e7861",
    gated=True,
    files=svd.files,
)
LLAVA = Miniature(
    "llava-hf/llava-1.5-7b-hf", "b234b804b114d9e37bb655e11cbbb5f5e971b7a9", gated=False, files=miniature_llava.files
)
MODELS = (SVD, LLAVA)


def ensure(model: Miniature, models: Path) -> Path:
    """The folder of `model` below `models`, made if it is not there; several processes may ask at once."""
    folder = models / model.name / f"{model.commit}-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            write(model, made)
            made.chmod(0o755)
            _settle(made, folder)
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def write(model: Miniature, folder: Path) -> None:
    """Write the files of `model` into `folder`."""
    for path, content in model.files():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


def _settle(made: Path, folder: Path) -> None:
    try:
        os.rename(made, folder)  # noqa: PTH104 - Path.rename reads as if it replaced
    except OSError:
        # Another process was first; its bytes are the same.
        if not folder.is_dir():
            raise
