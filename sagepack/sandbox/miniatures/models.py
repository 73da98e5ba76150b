"""The miniature models of the sandbox's Hub. They are made on first use, without torch, with the same bytes on every machine."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.sandbox.miniatures import llava, svd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

VERSION = 4
"""Part of the folder's name: raise it when the bytes of a miniature change, so that folders with the old bytes are not used."""


@dataclass(frozen=True)
class Miniature:
    """One model of the sandbox's Hub.

    Attributes:
        name: `owner/name` of the real repository.
        commit: a commit of the real repository; the miniature has the same commit and replaces it.
        gated: whether the real repository is gated.
        files: generates path and content of every file.
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
    "llava-hf/llava-1.5-7b-hf", "b234b804b114d9e37bb655e11cbbb5f5e971b7a9", gated=False, files=llava.files
)
MODELS = (SVD, LLAVA)


def includes(name: str | None) -> bool:
    """Whether a model of the sandbox is a miniature, by its id: it shows that the way works, and nothing else."""
    return name in {model.name for model in MODELS}


def ensure(model: Miniature, models: Path) -> Path:
    """The folder of `model` below `models`, which is created if it does not exist.

    Several processes may create it at the same time; it never exists with only a part of its files.
    """
    folder = models / model.name / f"{model.commit}-{VERSION}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=folder.parent))
        try:
            write(model, made)
            made.chmod(0o755)
            try:
                os.rename(made, folder)  # noqa: PTH104 - unlike Path.rename, it is known to fail if the target exists
            except OSError:
                # Another process was faster; its bytes are the same.
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return folder


def write(model: Miniature, folder: Path) -> None:
    """Write the files of `model` into `folder`."""
    for path, content in model.files():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
