"""What runs in a job in the region (`--remote`): `python -m sagepack --in-job PROJECT MESSAGE INPUT`, as `engine.remote.start` calls it.

The token of the Hub is read with the job's role and stays in the memory of this process and its workers. What the job started from is removed from
S3 at its end. The bytes that it has moved, or the error of a failure, go to the file that SageMaker reads as the job's exit message.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api import remote_job
from sagepack.cli.main import run_command
from sagepack.cli.options import Options
from sagepack.errors import SagepackError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.project import Project
    from sagepack.api.results import Built


def run(words: Sequence[str]) -> int:
    """Publish the package of a project; returns the exit code.

    Args:
        words: the folder of the project, the file for an error, and the address of what the job started from.
    """
    folder, message, source = words
    project = Path(folder)
    job = remote_job.read(project)
    os.chdir(project)  # which messages name files from

    def publish(opened: Project) -> Built:
        try:
            built, moved = remote_job.publish(opened, job, os.environ)
        except SagepackError as error:
            with suppress(OSError):  # the log has it, too
                Path(message).write_bytes(remote_job.exit_message(error))
            raise
        finally:
            remote_job.remove(job, source)
        with suppress(OSError):
            Path(message).write_bytes(moved)
        return built

    return run_command("upload", publish, Options(project, job.config, job.env))
