"""A project, or a model in it, to start from: every file that it needs, valid as it is."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api.results import Initialized
from sagepack.engine import lazy
from sagepack.errors import SagepackError, UserError
from sagepack.hub.client import Hub
from sagepack.hub.responses import ModelFacts
from sagepack.scaffold import found, project, writing
from sagepack.spec import project_folder
from sagepack.spec.rules.model import repository_meant

if TYPE_CHECKING:
    from sagepack import sandbox
    from sagepack.sandbox.miniatures import models as miniatures
else:
    miniatures = lazy.module("sandbox.miniatures.models")
    sandbox = lazy.module("sandbox")

_NEXT = ("package", "serve", "deploy", "predict", "destroy")
_NOT_ASKED = "or say with --task what it is for: then the files are written without asking"
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)


def init(root: Path, name: str, *, model: str = "", path: str = "", task: str = "") -> Initialized:
    """Make a project of a folder: overlays, Makefile, tasks.py, and the first model's spec, sample and handler.

    Args:
        root: the folder, which may hold other files.
        name: of the spec, its handler and its endpoint.
        model: `owner/name` on the Hub.
        path: instead of `model`, a folder with the model's files.
        task: what the model is for, in the Hub's words; by default what the model itself says, or the Hub. Where it is
            given, a Hub that cannot say what the model is is no obstacle.

    Raises:
        UserError: a name is wrong, the folder is a project or holds one of the files, or there is no such model.
        RemoteError: the Hub cannot be reached.
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
        RemoteError: as for `init`.
    """
    project_folder.require(root)
    added = _model(root, name, model, path, task)
    schemas = {path: text for path, text in project.schemas().items() if not (root / path).exists()}
    return _write(root, added, {**schemas, **project.of_model(added)})


def _model(root: Path, name: str, model: str, path: str, task: str) -> project.Model:
    """The model of the options, after all of them were checked and before anything is written.

    Raises:
        UserError, RemoteError: as for `init`.
    """
    project.check_name(name)
    if (root / "config" / f"{name}.yaml").exists():
        raise UserError(
            "this spec exists already", where=f"config/{name}.yaml", fix="choose another name, or remove it first"
        )
    if bool(model) == bool(path):
        have = "both are given" if model else "neither is given"
        fix = "write one of --model owner/name and --model-path FOLDER"
        raise UserError(f"a model is on the Hub or in a folder; {have}", where="--model, --model-path", fix=fix)
    if path:
        folder = Path(path).expanduser()
        facts, files = found.in_folder(folder)
        return project.Model(name, found.model(facts, task or None, files), path=_shown(root, folder))
    if not _ID.fullmatch(model):
        raise UserError(f"{model!r} is no repository of the Hub", where="--model", fix=_instead(model))
    if here := _in_sandbox(root, model):
        return project.Model(name, found.model(here[0], task or None, here[1]), id=model)
    hub = Hub()
    try:
        facts, files = found.in_repository(hub, model)
    except SagepackError as error:
        if not task:
            raise error.with_context(fix=f"{error.fix}; {_NOT_ASKED}" if error.fix else _NOT_ASKED) from error
        return project.Model(name, found.model(ModelFacts(), task, unknown=error.message), id=model, in_sandbox=False)
    gate = f"{hub.endpoint}/{model}" if facts.gate else ""
    return project.Model(name, found.model(facts, task or None, files), id=model, in_sandbox=False, gate=gate)


def _instead(model: str) -> str:
    """What to write for a text that is no repository."""
    if kind := re.search(r"(?:^|/)(dataset|space)s/[^/]+/", model):
        return f"this is a {kind[1]}: name the repository of a model"
    if Path(model).expanduser().is_dir():
        return f"write --model-path {model}"
    if proposal := repository_meant(model):
        return f"write --model {proposal}"
    return "write it as owner/name"


def _in_sandbox(root: Path, name: str) -> tuple[ModelFacts, found.Files | None] | None:
    """What the sandbox knows of a model that it has: a miniature, or one that was added to it, if it runs.

    The files of a miniature say nothing about the size of the model that it stands for.
    """
    for model in miniatures.MODELS:
        if model.name == name:
            files = (content for path, content in model.files() if path in found.DESCRIBING)
            return found.described(next(files), model.commit), None
    box = sandbox.status(root)
    if box is None:
        return None
    with suppress(SagepackError):
        return found.in_repository(Hub(box.hub_url, box.hf_token), name)
    return None


def _shown(root: Path, folder: Path) -> str:
    """A folder as the spec names it: relative to the project where it is inside, else as the user named it."""
    full = Path(os.path.normpath(folder.absolute()))
    return full.relative_to(root).as_posix() if full.is_relative_to(root) else str(full)


def _write(root: Path, model: project.Model, texts: dict[str, bytes]) -> Initialized:
    writing.write_new(root, texts, [model.code])
    kind = model.found.kind
    only = len(list((root / "config").glob("*.yaml"))) == 1
    steps = [f"sagepack {step}{'' if only else f' --config {model.spec}'}" for step in _NEXT]
    notes = list(model.found.notes)
    if model.gate:
        notes.append(
            f"the model is gated: accept its conditions at {model.gate}, and set HF_TOKEN before `sagepack lock`"
        )
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
        instance_type=model.found.instance_type,
        seen=model.found.seen,
        assumptions=tuple(notes),
        next=tuple(steps),
    )
