"""A project, or a model in it, to start from: every file that it needs, valid as it is."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api.results import Initialized
from sagepack.engine import lazy
from sagepack.errors import UserError
from sagepack.hub.client import Hub
from sagepack.scaffold import found, project, writing
from sagepack.spec import project_folder

if TYPE_CHECKING:
    from sagepack import sandbox
    from sagepack.hub.responses import ModelFacts
    from sagepack.sandbox.miniatures import models as miniatures
else:
    miniatures = lazy.module("sandbox.miniatures.models")
    sandbox = lazy.module("sandbox")

_NEXT = ("package", "deploy", "predict", "destroy")
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def init(root: Path, name: str, *, model: str = "", path: str = "", task: str = "") -> Initialized:
    """Make a project of a folder: overlays, Makefile, tasks.py, and the first model's spec, sample and handler.

    Args:
        root: the folder, which may hold other files.
        name: of the spec, its handler and its endpoint.
        model: `owner/name` on the Hub.
        path: instead of `model`, a folder with the model's files.
        task: what the model is for, in the Hub's words; by default what the model itself says, or the Hub.

    Raises:
        UserError: a name is wrong, the folder is a project or holds one of the files, or no handler fits the model.
    """
    if project_folder.is_project(root):
        fix = f"`sagepack new {name} ...` adds a model to it"
        raise UserError("this folder is a project already", where=str(root), fix=fix)
    first = _model(root, name, model, path, task)
    return _write(root, first, {**project.of_project(first), **project.of_model(first)})


def new(root: Path, name: str, *, model: str = "", path: str = "", task: str = "") -> Initialized:
    """Add a model to a project: its spec, sample and handler.

    Args:
        root: the project.
        name: as for `init`, and so are the others.
        model: see there.
        path: see there.
        task: see there.

    Raises:
        UserError: as for `init`; or this is no project.
    """
    project_folder.require(root)
    added = _model(root, name, model, path, task)
    schemas = {path: text for path, text in project.schemas().items() if not (root / path).exists()}
    return _write(root, added, {**schemas, **project.of_model(added)})


def _model(root: Path, name: str, model: str, path: str, task: str) -> project.Model:
    """The model of the options, after all of them were checked and before anything is written.

    Raises:
        UserError: an option is wrong.
    """
    project.check_name(name)
    if bool(model) == bool(path):
        have = "both are given" if model else "neither is given"
        fix = "write one of --model owner/name and --model-path FOLDER"
        raise UserError(f"a model is on the Hub or in a folder; {have}", where="--model, --model-path", fix=fix)
    if path:
        folder = Path(path).expanduser()
        there = found.model(found.in_folder(folder), task or None, found.size_of(folder))
        return project.Model(name, there, path=_shown(root, folder))
    if not _ID.fullmatch(model):
        fix = f"write --model-path {model}" if Path(model).expanduser().is_dir() else "write it as owner/name"
        raise UserError(f"{model!r} is no repository of the Hub", where="--model", fix=fix)
    here = _in_sandbox(root, model)
    facts = here or found.on_hub(lambda: Hub().describe(model))
    return project.Model(name, found.model(facts, task or None), id=model, in_sandbox=here is not None)


def _in_sandbox(root: Path, name: str) -> ModelFacts | None:
    """What the sandbox knows of a model that it has: a miniature, or one that was added to it, if it runs."""
    for model in miniatures.MODELS:
        if model.name == name:
            files = (content for path, content in model.files() if path in found.DESCRIBING)
            return found.described(next(files), model.commit)
    box = sandbox.status(root)
    facts = found.on_hub(lambda: Hub(box.hub_url, box.hf_token).describe(name)) if box else ""
    return None if isinstance(facts, str) else facts


def _shown(root: Path, folder: Path) -> str:
    """A folder as the spec names it: relative to the project where it is inside, else as the user named it."""
    full = Path(os.path.normpath(folder.absolute()))
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)


def _write(root: Path, model: project.Model, texts: dict[str, bytes]) -> Initialized:
    writing.write_new(root, texts, [model.code])
    kind = model.found.kind
    only = len(list((root / "config").glob("*.yaml"))) == 1
    steps = [f"sagepack {step}{'' if only else f' --config {model.spec}'}" for step in _NEXT]
    notes = [f"instance type {kind.instance_type}: {kind.why}", *model.found.notes]
    if model.id and not model.found.commit:
        steps.insert(0, "sagepack lock --pin" if only else f"sagepack lock --pin --config {model.spec}")
    if not model.in_sandbox:
        notes.append(
            "the sandbox's Hub does not have this model: `sagepack sandbox.add` puts the files of a folder there"
        )
        steps.insert(0, f"sagepack sandbox.add {model.id} FOLDER")
    return Initialized(
        files=tuple(sorted(texts)),
        spec=model.spec,
        task=kind.task,
        image=model.found.image,
        instance_type=kind.instance_type,
        assumptions=tuple(notes),
        next=tuple(steps),
    )
