"""What a model is: its task, and the commit to pin, from the sandbox's miniatures, the Hub or the files of a folder."""

from __future__ import annotations

import dataclasses
import threading
from typing import TYPE_CHECKING

from sagepack.decoding import MalformedError, Value
from sagepack.errors import SagepackError, UserError
from sagepack.hub.responses import ModelFacts, config_of
from sagepack.scaffold.kinds import PLAIN_TASK, TRANSFORMERS, Kind, kind_of, task_of
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DESCRIBING = ("model_index.json", "config.json")
"""The files that say what a model is; the first of them that is there counts."""
SECONDS = 5.0
"""The longest that the Hub may take: a project can be written without it."""


class Found(Value, frozen=True):
    """What is known of a model.

    Attributes:
        kind: what to write for it.
        image: tag of the image.
        commit: the commit to pin; None if it is not known, or there is none.
        notes: what was assumed, one line each.
    """

    kind: Kind
    image: str
    commit: str | None = None
    notes: tuple[str, ...] = ()


def described(data: bytes, commit: str | None = None, where: str = "") -> ModelFacts:
    """What one of these files says about its model.

    Raises:
        UserError: it is no such file.
    """
    try:
        return dataclasses.replace(config_of(data), commit=commit)
    except MalformedError as error:
        raise UserError(f"this is no description of a model: {error}", where=where or None) from error


def in_folder(folder: Path) -> ModelFacts:
    """What the model in a folder is.

    Raises:
        UserError: there is no such folder, it holds no model, or the file that describes it cannot be read.
    """
    if not folder.is_dir():
        what = "is a file, not a folder" if folder.exists() else "there is no such folder"
        raise UserError(what, where=str(folder), fix="name the folder with the model's config.json and weights")
    for name in DESCRIBING:
        if (folder / name).is_file():
            return described((folder / name).read_bytes(), where=str(folder / name))
    message = f"this folder holds no model: there is neither {' nor '.join(DESCRIBING)}"
    raise UserError(message, where=str(folder), fix="name the folder that `save_pretrained` wrote")


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def on_hub(ask: Callable[[], ModelFacts]) -> ModelFacts | str:
    """What the Hub says of a model, or why it says nothing.

    In a thread of its own, because nothing else bounds the look-up of a name.
    """
    answers: list[ModelFacts | str] = []

    def run() -> None:
        try:
            answers.append(ask())
        except SagepackError as error:
            answers.append(error.message)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(SECONDS)
    return answers[0] if answers else f"no answer within {SECONDS:.0f} s"


def model(facts: ModelFacts | str, task: str | None, size: int = 0) -> Found:
    """What to write for a model.

    Args:
        facts: what is known of it, or why nothing is.
        task: the user's word for it, which counts more than what was found.
        size: bytes of its files, if that is known.

    Raises:
        UserError: no handler here fits.
    """
    unknown = facts if isinstance(facts, str) else None
    known = ModelFacts() if isinstance(facts, str) else facts
    notes = [f"the Hub did not say what the model is: {unknown}"] if unknown else []
    chosen = task or task_of(known.class_name, known.task)
    if chosen is None:
        chosen = PLAIN_TASK
        notes.append(f"assumed a model for {chosen}: if it is for another task, start again with --task")
    kind = kind_of(chosen)
    if size > kind.most_bytes:
        notes.append(f"its files have {format_bytes(size)}: choose an instance type with more memory")
    image = kind.image_tag(known.transformers)
    if f"-transformers{TRANSFORMERS}-" not in image:
        notes.append(
            f"image {image}: the model was saved with transformers {known.transformers}; the sandbox serves with {TRANSFORMERS}"
        )
    return Found(kind, image, known.commit, tuple(notes))
