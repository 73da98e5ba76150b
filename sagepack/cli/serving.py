"""The tasks that run a package on this machine, under the image's serving stack."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.results import ServingStack
from sagepack.cli.task import task
from sagepack.engine import lazy

if TYPE_CHECKING:
    from sagepack.api.project import Project
    from sagepack.serving import stack
else:
    stack = lazy.module("serving.stack")


@task(group="serve", scope="project")
def install(project: Project) -> ServingStack:
    """Install what packages run under on this machine.

    It is the image's serving stack, in .venv-serve of the project: 1.4 GB and two minutes or more, because it brings torch. It needs Java 11 or
    later, and Python 3.11 or later.
    """
    return ServingStack(str(stack.install(project.root, project.progress.note)))
