"""The tasks about an endpoint that was deployed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.cli.output import confirm, echo
from sagepack.cli.task import YES, Flag, task

if TYPE_CHECKING:
    from sagepack.api.project import Project
    from sagepack.api.results import Answer, Destroyed


@task(
    Flag("input", "", "the request: a JSON file, an image, or the spec's sample if left out", parameter="source"),
    Flag("output", "", "where the answer goes: a file, or a folder for the frames"),
    Flag("timeout", 900, "seconds to wait for the answer (default 900)", most=86400),
)
def predict(project: Project, *, source: str, output: str, timeout: int) -> Answer:
    """Send an asynchronous request to the endpoint and wait for the answer or the failure."""
    return project.predict(Path(source) if source else None, Path(output) if output else None, timeout=timeout)


@task(YES)
def destroy(project: Project, *, yes: bool) -> Destroyed:
    """Remove the endpoint and all that deploy made for it, in the right order, and nothing else."""
    if not yes and (found := project.deployed_resources()):
        for resource in found:
            echo(f"would remove {resource.kind} {resource.name}")
        confirm(f"remove these {len(found)}", yes=yes)
    return project.destroy()
