"""Writes the page of `report`."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.api.fleet.selection import members
from sagepack.api.report import gathering, words
from sagepack.engine import lazy
from sagepack.errors import UserError
from sagepack.files import require_output, write_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sagepack.api.report import page
    from sagepack.engine.context import BuildContext
else:
    page = lazy.module("api.report.page")

_INSTALL = "pip install 'sagepack[report]'"


def about_spec(
    context: BuildContext,
    config: str,
    output: Path | None,
    verify: Callable[[BuildContext], results.VerifiedRemote],
) -> results.Reported:
    """Write the page about one spec; raises as `Project.report`.

    Args:
        context: of a run to `deploy`, of which no step runs.
        config: the spec's file, as messages name it.
        output: the file; None for the one in the build folder.
        verify: checks what S3 holds of the package.
    """
    path = output or context.work.build_path / "report.html"
    with _drawing():
        _require_own(path, context.display(path))
        facts = gathering.of_spec(context, config, verify)
        text = page.spec_page(facts, datetime.now(timezone.utc))
    write_output(path, text.encode())
    said = words.headline(facts.run) if facts.run else f"{facts.no_run}."
    failure = facts.run.error.summary if facts.run and facts.run.error else None
    return results.Reported(context.display(path), len(text.encode()), 1, said.replace("`", ""), failure, facts.unknown)


def about_fleet(root: Path, select: Sequence[str], envs: Sequence[str], output: Path | None) -> results.Reported:
    """Write the page about several specs, from what is on this machine; raises as `Project.report_fleet`."""
    path = output or root / "build" / "report.html"
    shown = str(path.relative_to(root)) if path.is_relative_to(root) else str(path)
    with _drawing():
        _require_own(path, shown)
        found = [gathering.of_member(root, config, env) for config, env in members(root, select, envs)]
        text = page.fleet_page(found, datetime.now(timezone.utc))
    write_output(path, text.encode())
    unknown = tuple(f"{each.config} {each.env}: {line}" for each in found for line in each.unknown)
    return results.Reported(shown, len(text.encode()), len(found), words.fleet_headline(found), unknown=unknown)


@contextmanager
def _drawing() -> Iterator[None]:
    """Within the block the libraries that draw a page are used.

    Raises:
        UserError: they are not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name not in {"jinja2", "markupsafe", "vl_convert"}:
            raise
        raise UserError(f"a report needs {error.name}, which is not installed", fix=_INSTALL) from error


def _require_own(path: Path, shown: str) -> None:
    require_output(path, shown, "--output", "report", lambda head: page.MARK.encode() in head)
