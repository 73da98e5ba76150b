"""The tasks that write what a user starts from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.cli.output import ask
from sagepack.cli.task import Flag, task
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.api import starting
    from sagepack.api.project import Project
    from sagepack.api.results import Initialized
    from sagepack.scaffold import project as scaffold
else:
    scaffold = lazy.module("scaffold.project")
    starting = lazy.module("api.starting")

_MODEL = (
    Flag("model", "", "the model on the Hub", placeholder="OWNER/NAME"),
    Flag(
        "model-path", "", "instead of --model: a folder with the model's files", parameter="path", placeholder="FOLDER"
    ),
    Flag(
        "task",
        "",
        "what the model is for, such as text-classification, if the model does not say it",
        parameter="kind",
        placeholder="TASK",
    ),
)


@task(
    Flag("name", "", "of the spec, its handler and its endpoint", placeholder="NAME"),
    *_MODEL,
    scope="folder",
    example="--model llava-hf/llava-1.5-7b-hf --name chat",
)
def init(project: Project, *, name: str, model: str, path: str, kind: str) -> Initialized:
    """Make a project of this folder.

    It writes a spec for the model with every key explained, a handler with a sample request, overlays for the environments,
    a Makefile and tasks.py, and overwrites nothing. On a terminal it asks for what is not given.
    """
    root = Path.cwd()
    if not (name and (model or path)) and not _asks():
        given = f"--model-path {path}" if path else f"--model {model or 'owner/name'}"
        fix = f"write: sagepack init {given} --name {name or scaffold.proposed_name(model or path) or 'NAME'}"
        missing = "model" if not (model or path) else "name"
        raise UserError(f"cannot ask for the {missing}: stdin is not a terminal", fix=fix)
    if not (model or path):
        answer = ask("model, as owner/name on the Hub or as a folder")
        model, path = ("", answer) if _is_folder(answer) else (answer, "")
    name = name or ask("name", scaffold.proposed_name(model or path))
    with project.progress.activity(f"asking what {model or path} is"):
        return starting.init(root, name, model=model, path=path, task=kind)


@task(
    Flag("name", "", "of the spec, its handler and its endpoint", positional=True),
    *_MODEL,
    scope="project",
    example="mood --model-path models/mood",
)
def new(project: Project, *, name: str, model: str, path: str, kind: str) -> Initialized:
    """Add a model to this project.

    It writes config/NAME.yaml with every key explained, a sample request and a handler, and overwrites nothing.
    """
    with project.progress.activity(f"asking what {model or path} is"):
        return starting.new(project.root, name, model=model, path=path, task=kind)


def _asks() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _is_folder(text: str) -> bool:
    return text.startswith((".", "/", "~")) or Path(text).is_dir()
