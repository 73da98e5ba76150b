"""What people read of what is around a project: checks, policies, fleets, the sandbox."""

from __future__ import annotations

import json
import shlex
from functools import partial
from typing import TYPE_CHECKING

from msgspec import to_builtins

from sagepack.api import results
from sagepack.cli import check_table, fleet_table
from sagepack.cli.screens.parts import done_line, fact_lines, itemized, lines
from sagepack.cli.screens.removal import upload_line
from sagepack.deploy.preflight.check import STALE_UPLOADS

if TYPE_CHECKING:
    from sagepack.cli.layout import Block


@lines.register(results.Doctor)
def _doctor(result: results.Doctor) -> list[Block]:
    shown: list[Block] = []
    for check in result.checks:
        shown.append(partial(check_table.check_lines, check))
        if check.id == STALE_UPLOADS:
            shown += [partial(itemized, upload_line(upload), bullet="    ") for upload in result.stale_uploads]
    return [*shown, "", check_table.summary(result.checks)]


@lines.register(results.FleetRun)
def _fleet_run(result: results.FleetRun) -> list[Block]:
    return fleet_table.blocks(result)


@lines.register(results.FleetMatrix)
def _fleet_matrix(result: results.FleetMatrix) -> list[Block]:
    return [json.dumps(to_builtins(result))]


@lines.register(results.Policy)
def _policy(result: results.Policy) -> list[Block]:
    return [*json.dumps(result.document, indent=2).splitlines()]


@lines.register(results.ServingStack)
def _serving_stack(result: results.ServingStack) -> list[Block]:
    return [done_line(f"the serving stack is installed: `serve` and endpoints of the sandbox use {result.python}")]


@lines.register(results.SandboxStatus)
def _sandbox_status(result: results.SandboxStatus) -> list[Block]:
    if not result.running:
        return ["the sandbox does not run"]
    places = {"Hub": result.hub or "", "AWS": result.aws or "", "log": result.log or ""}
    return [f"the sandbox runs as process {result.pid}", fact_lines(places)]


@lines.register(results.SandboxStopped)
def _sandbox_stopped(result: results.SandboxStopped) -> list[Block]:
    return ["the sandbox has ended" if result.stopped else "the sandbox did not run"]


@lines.register(results.SandboxModel)
def _sandbox_model(result: results.SandboxModel) -> list[Block]:
    revision = f'"{result.revision}"' if result.revision.isdigit() else result.revision
    head = f"{result.id} is in the sandbox's Hub, and will be after a restart. Write into the spec:"
    return [done_line(head), "", "model:", f"  id: {result.id}", f"  revision: {revision}"]


@lines.register(results.SandboxEnvironment)
def _sandbox_environment(result: results.SandboxEnvironment) -> list[Block]:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in result.export.items()]
    return [f"unset {' '.join(result.unset)}", *exports]
