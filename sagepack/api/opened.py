"""What a spec of a project in one environment is to all who work with it: read once, with its warnings, and opened for a goal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api import results, session
from sagepack.api.session import RunOptions, Selection, load, open_context
from sagepack.engine import lazy
from sagepack.engine.steps import GOALS
from sagepack.engine.workspace import Workspace
from sagepack.errors import UserError
from sagepack.progress import Heard, Silent
from sagepack.spec import project_folder
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from sagepack.deploy import waiter
    from sagepack.engine.context import BuildContext
    from sagepack.errors import Diagnostic
    from sagepack.progress import Progress
    from sagepack.spec.model import Spec
else:
    waiter = lazy.module("deploy.waiter")


class OpenedSpec:
    """A spec in one environment, read when a method needs it. Arguments and attributes are those of `Project`."""

    def __init__(
        self,
        root: str | Path = ".",
        config: str | Path = "",
        env: str = "local",
        sets: str | Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self.root = project_folder.find(Path(root).absolute()) or Path(root).absolute()
        self.selection = Selection(self.root, str(config), env, (sets,) if isinstance(sets, str) else tuple(sets))
        self.spec: results.SpecReference | None = None
        self.progress: Progress = progress or Silent()
        self.warnings: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r}, {self.selection.config!r}, {self.selection.env!r})"

    @property
    def last_run_path(self) -> Path | None:
        """Where the command line, and a job of a fleet, keeps the events of the last run that ran a step; None until the spec was read."""
        return Workspace(self.root, self.spec.name, self.spec.env).last_run_path if self.spec else None

    def _surviving(self, context: BuildContext) -> AbstractContextManager[None]:
        """Within the block, requests to AWS survive an outage."""
        return waiter.surviving(context.clients.aws, self.progress, waiter.WaiterConfig.of(context.spec))

    def _load(self, **how: bool) -> Spec:
        return self._check(**how).spec

    def _check(self, **how: bool) -> session.Checked:
        project_folder.require(self.root)
        checked = load(self.selection, **how)
        if self.spec is None:
            self.spec = results.SpecReference(self.selection.shown, checked.spec.name, checked.spec.env)
            for warning in checked.warnings:
                self._heard.warn(warning)
        return checked

    @property
    def _heard(self) -> Heard:
        """The progress of a run, whose warnings are kept."""
        return Heard(self.progress, self._keep)

    def _keep(self, warning: Diagnostic) -> None:
        if warning not in self.warnings:
            self.warnings += (warning,)

    def _open(self, goal: str, *, branch_allowed: bool = False, **how: Any) -> BuildContext:
        if goal not in GOALS:
            raise UserError(f"unknown step {goal!r}", fix=did_you_mean(goal, GOALS) or f"choose one of {one_of(GOALS)}")
        checked = self._check(branch_allowed=branch_allowed)
        return open_context(self.root, checked, goal, self._heard, RunOptions(**how))
