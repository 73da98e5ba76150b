"""From a spec's file to a context that steps can run in."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import hub
from sagepack.api import connect
from sagepack.decoding import Value
from sagepack.engine import lazy
from sagepack.engine.context import BuildContext
from sagepack.engine.records import Record, Records
from sagepack.engine.steps import steps_to
from sagepack.engine.workspace import Workspace
from sagepack.errors import UserError
from sagepack.hub.cache import default_cache
from sagepack.package.lock import KEYS as LOCK_KEYS
from sagepack.package.lock import Lock
from sagepack.package.requirements import listing
from sagepack.spec import loader, project_folder
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from sagepack.engine.clients import Clients
    from sagepack.errors import Diagnostic, KeyPath
    from sagepack.progress import Progress
    from sagepack.spec import pin as pinning
    from sagepack.spec import validate
    from sagepack.spec.document import Document
    from sagepack.spec.model import Spec
else:
    pinning = lazy.module("spec.pin")
    validate = lazy.module("spec.validate")


class Selection(Value, frozen=True):
    """Which spec, in which environment.

    Attributes:
        root: the project's folder.
        config: path of the spec, from the working folder or from the project's; empty for the only one of the project.
        env: environment, a file in `config/env/`.
        sets: `key=value` overlays, applied last.
    """

    root: Path
    config: str
    env: str
    sets: tuple[str, ...] = ()

    @property
    def path(self) -> Path:
        """The spec's file.

        Raises:
            UserError: none is named, and the project has none or several.
        """
        if not self.config:
            return project_folder.default_spec(self.root)
        path = Path(self.config)
        return self.root / path if not path.is_file() and (self.root / path).is_file() else path

    @property
    def shown(self) -> str:
        """The spec's file as messages name it."""
        return self.config or self.path.relative_to(self.root).as_posix()


class Checked(Value, frozen=True):
    """A spec without errors.

    Attributes:
        spec: the spec.
        warnings: what is wrong with it, but not wrong enough to refuse it.
        set_keys: the keys that a lock is made from and `--set` gave.
        data: the merged data that the spec was made of.
        where: the place of a key of the spec, for messages.
    """

    spec: Spec
    warnings: tuple[Diagnostic, ...]
    set_keys: tuple[str, ...]
    data: dict[str, Any]
    where: Callable[[KeyPath], str]


class RunOptions(Value, frozen=True):
    """How the steps of a run do their work.

    Attributes:
        locked: fail rather than make or change the lock.
        stream: publish from the Hub to S3 without the model on this disk.
        connections: most connections to the Hub at once.
        workers: processes of this machine, or an executor, that make the units of an upload; 0: threads of this process do all of it.
        smoke: try the endpoint after a deployment, as the spec says.
        recreate: requests may be lost with an endpoint whose status allows nothing but to delete it.
        renew: resolve again what the lock holds for ranges of versions.
        remote: publish by a job in the region, which streams.
    """

    locked: bool = False
    stream: bool = False
    connections: int = hub.CONNECTIONS
    workers: int | Executor = 0
    smoke: bool = True
    recreate: bool = False
    renew: bool = False
    remote: bool = False


_USUAL = RunOptions()


def open_context(root: Path, checked: Checked, goal: str, progress: Progress, how: RunOptions = _USUAL) -> BuildContext:
    """The context in which the steps to `goal` run.

    Args:
        root: the project's folder.
        checked: the spec.
        goal: a step, or `package`.
        progress: where the steps report to.
        how: how they do their work.
    """
    spec = checked.spec
    work = Workspace(root, spec.name, spec.env)

    made = cache(lambda hub_cache: connect.make_clients(root, spec, hub_cache, progress))
    making = threading.Lock()  # a step may need them first in several threads at once

    def clients(hub_cache: Path) -> Clients:
        with making:
            return made(hub_cache)

    return BuildContext(
        spec,
        work,
        steps_to(goal),
        clients,
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        progress,
        how.locked,
        how.stream or how.remote,
        how.connections,
        how.workers,
        checked.set_keys,
        how.smoke,
        how.recreate,
        lambda: connect.why_no_answers(root, spec, progress),
        renew=how.renew,
        remote=how.remote,
        declared=checked.data,
        where=checked.where,
    )


def load(selection: Selection, *, branch_allowed: bool = False, contents: bool = False) -> Checked:
    """Read the spec and check it, unless the same document passed before.

    Args:
        selection: which spec.
        branch_allowed: accept a branch or tag as revision.
        contents: check the spec whatever passed before, and read the files of its code and its sample as well.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    root = selection.root
    document = loader.load(selection.path, selection.env, selection.sets, root)
    inputs = {
        "document": str(document.digest),
        "sagepack": __version__,
        "branch_allowed": branch_allowed,
        # The rules look at these folders too, and at the names of the other specs.
        "folders": [_names(root / path) for path in _folders(document.data)],
        "others": [_stamp(path) for path in project_folder.others(selection.path, root)],
    }
    records, key = Records(root / "build" / "validated"), document.digest.short
    record = records.load(key)
    warnings = record.warnings if record and record.inputs == inputs and not contents else None
    if warnings is None:
        warnings = _check(document, root, branch_allowed=branch_allowed, contents=contents)
        if not contents:  # what files hold does not follow from these inputs
            records.remember(Record.of_check(key, inputs, warnings))
    return Checked(document.spec(), warnings, document.set_keys(*LOCK_KEYS), document.data, document.where)


def _check(document: Document, root: Path, *, branch_allowed: bool, contents: bool) -> tuple[Diagnostic, ...]:
    installed = _installed(document, root) if contents else None
    return validate.check(document, root, branch_allowed=branch_allowed, contents=contents, installed=installed)


def _installed(document: Document, root: Path) -> tuple[str, ...] | None:
    """The modules that the requirements bring; None if no lock says so that is up to date with the spec."""
    with suppress(
        UserError
    ):  # what is wrong with the spec is about to be told, what with the lock by the command that needs it
        spec = document.spec()
        path = Workspace(root, spec.name, spec.env).lock_path
        lock = Lock.parse(path.read_bytes(), str(path)) if path.is_file() else None
        if lock and lock.requirements and lock.is_current(spec):
            return listing.modules(lock.packages)
    return None


def where(selection: Selection, path: KeyPath) -> str:
    """Where a key of the spec was written: `file:line:column`, or the name of a setting."""
    return loader.load(selection.path, selection.env, selection.sets, selection.root).where(path)


def files_of(selection: Selection) -> tuple[Path, Path]:
    """The files of a spec that are merged: the spec and its overlay."""
    return loader.files_of(selection.path, selection.env, selection.root)


def pin(selection: Selection, commit: str) -> str:
    """Write a commit into the spec, or its overlay, in place of the branch that it names; returns the file's name.

    Raises:
        UserError: the branch is not written in a file, or in a way that cannot be replaced.
    """
    document = loader.load(selection.path, selection.env, selection.sets, selection.root)
    return pinning.write_commit(document, files_of(selection), commit)


def _stamp(path: Path) -> list[Any]:
    try:
        status = path.stat()
    except OSError:
        return [path.name]
    return [path.name, status.st_size, status.st_mtime_ns]


def _folders(data: dict[str, Any]) -> list[str]:
    code, sample, model, trust = data.get("code"), data.get("sample"), data.get("model"), data.get("trust")
    expect = sample.get("expect") if isinstance(sample, dict) else None
    found: list[Any] = [sample.get("file") if isinstance(sample, dict) else None]
    found += [expect.get("schema") if isinstance(expect, dict) else None]
    found += [model.get("path") if isinstance(model, dict) else None]
    if isinstance(trust, dict):
        for keys in (trust.get("verify"), trust.get("publisher")):
            found += keys if isinstance(keys, list) else ()
        found += [str(trust.get("sign")).removeprefix("file:"), trust.get("certificates")]
    if isinstance(code, dict):
        shared = code.get("shared")
        found += [code.get("path"), *(shared if isinstance(shared, list) else ())]
    return [path for path in found if isinstance(path, str)]


def _names(path: Path) -> list[str]:
    try:
        return sorted(ascii(entry.name) for entry in path.iterdir()) if path.is_dir() else [str(path.is_file())]
    except OSError:
        return []
