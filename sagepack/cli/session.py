"""From the options of a task to the spec that they name, and to a context that steps can run in."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import __version__, hub
from sagepack.cli import connect
from sagepack.cli.output import echo
from sagepack.cli.terminal import Terminal
from sagepack.decoding import MalformedError, convert
from sagepack.engine import lazy
from sagepack.engine.context import BuildContext
from sagepack.engine.records import Record, Records
from sagepack.engine.steps import steps_to
from sagepack.engine.workspace import Workspace
from sagepack.errors import Diagnostic
from sagepack.hub.cache import default_cache
from sagepack.spec import loader

if TYPE_CHECKING:
    from sagepack.cli.options import Options
    from sagepack.engine.clients import Clients
    from sagepack.spec import validate
    from sagepack.spec.model import Spec
else:
    validate = lazy.module("spec.validate")


def open_context(
    options: Options,
    goal: str,
    *,
    locked: bool = False,
    stream: bool = False,
    connections: int = hub.CONNECTIONS,
    branch_allowed: bool = False,
) -> BuildContext:
    """The context in which the steps to `goal` run.

    Args:
        options: the task's options.
        goal: a step, or `package`.
        locked: fail rather than make or change the lock.
        stream: publish from the Hub to S3 without the model on this disk.
        connections: most connections to the Hub at once.
        branch_allowed: accept a branch or tag as revision.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    spec, _ = load(options, branch_allowed=branch_allowed)
    work, progress = Workspace(options.root, spec.name, spec.env), Terminal()

    @cache
    def clients(hub_cache: Path) -> Clients:
        return connect.make_clients(options.root, spec, hub_cache, progress)

    return BuildContext(
        spec,
        work,
        steps_to(goal),
        clients,
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        progress,
        locked,
        stream,
        connections,
    )


def load(options: Options, *, branch_allowed: bool = False, contents: bool = False) -> tuple[Spec, list[Diagnostic]]:
    """Read the spec and check it, unless the same document passed before; warnings are printed either way.

    Args:
        options: the task's options.
        branch_allowed: accept a branch or tag as revision.
        contents: check the spec whatever passed before, and read the files of its code and its sample as well.

    Returns:
        The spec, and the warnings.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    config = Path(options.config)
    if not config.is_file() and (options.root / config).is_file():
        config = options.root / config
    document = loader.load(config, options.env, options.sets, options.root)
    inputs = {
        "document": str(document.digest),
        "sagepack": __version__,
        "branch_allowed": branch_allowed,
        # The rules look at these folders too.
        "folders": [_names(options.root / path) for path in _folders(document.data)],
    }
    records, key = Records(options.root / "build" / "validated"), document.digest.short
    record = records.load(key)
    warnings = _warnings(record) if record and record.inputs == inputs and not contents else None
    if warnings is None:
        warnings = list(validate.check(document, options.root, branch_allowed=branch_allowed, contents=contents))
        if not contents:  # what files hold does not follow from these inputs
            with suppress(FileNotFoundError):  # `clean --all` takes the folder away: it is checked again then
                records.save(Record(key, 1, inputs, {"warnings": [asdict(warning) for warning in warnings]}))
    for warning in warnings:
        first, *rest = warning.lines()
        for line in (f"warning: {first}", *rest):
            echo(line)
    return document.spec(), warnings


def _warnings(record: Record) -> list[Diagnostic] | None:
    """The warnings about a spec that passed; None if the record does not say so."""
    try:
        return convert(record.output.get("warnings"), list[Diagnostic])
    except MalformedError:
        return None


def _folders(data: dict[str, Any]) -> list[str]:
    code, sample = data.get("code"), data.get("sample")
    found: list[Any] = [sample.get("file") if isinstance(sample, dict) else None]
    if isinstance(code, dict):
        shared = code.get("shared")
        found += [code.get("path"), *(shared if isinstance(shared, list) else ())]
    return [path for path in found if isinstance(path, str)]


def _names(path: Path) -> list[str]:
    try:
        return sorted(ascii(entry.name) for entry in path.iterdir()) if path.is_dir() else [str(path.is_file())]
    except OSError:
        return []
