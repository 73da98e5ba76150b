"""A whole `sagepack plan --to upload` of a large package of which S3 has nothing, beside `aws s3 sync --dryrun` of the same files.

The lock has the files, and nothing of them is on this disk; the CLI looks at files of the same sizes without content. It compares sizes and
times with a listing and prints a line for each; ours plans the parts, and looks for each content in all packages of the target.
"""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import msgspec

from benchmarks.growth import REPOSITORIES, members
from benchmarks.projects import Project, aws_cli
from benchmarks.timing import run, side_by_side, table
from sagepack.package.lock import Lock, LockedFile

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.package.manifest import Member

MIB = 1 << 20


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the sizes are those of `growth`
    """Seconds of both, for each repository, and the memory."""
    rows = [["", "seconds", "ratio", "cpu s", "peak MiB"]]
    project = Project.make(folder / "plan")
    with project.sandbox() as sandbox:
        run(project.command("lock"))
        for repository, (count, size) in REPOSITORIES.items():
            files = members(count, size)
            _lock(project, files)
            tree = folder / "tree"
            _lay_out(tree, files)
            plan = ["sh", "-c", '"$@" > /dev/null; [ $? = 2 ]', "sh", *project.command("plan", "--to", "upload")]
            sync = sandbox.command(aws_cli(), "s3", "sync", "--dryrun", str(tree), "s3://sagepack-sandbox/sync/")
            found = side_by_side({"sagepack plan": plan, "aws s3 sync --dryrun": sync}, runs)
            for name, timing in found.items():
                ratio = timing.median / found["sagepack plan"].median
                cells = [f"{timing.median:.2f}", f"{ratio:.1f}", f"{min(timing.cpu):.2f}", f"{timing.memory / MIB:.0f}"]
                rows.append([f"{repository}, {name}", *cells])
            shutil.rmtree(tree)
    return f"### Plan\n\n{table(rows)}\n"


def _lock(project: Project, files: Sequence[Member]) -> None:
    """Let the lock of the project have these files."""
    path = project.folder / "config" / "locks" / "svd-local.lock.yaml"
    ordered = sorted(files, key=lambda member: member.path)
    locked = tuple(LockedFile(each.path, each.size, each.digest, each.digest.value) for each in ordered)
    lock = Lock.parse(path.read_bytes(), path.name)
    path.write_text(msgspec.structs.replace(lock, files=locked).text())


def _lay_out(tree: Path, files: Sequence[Member]) -> None:
    """Files of these sizes, which take no room."""
    for each in files:
        path = tree / each.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, each.size)
