"""The tasks of a build: from a spec to a package, in S3, behind an endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api.results import FOUND_WORK
from sagepack.cli import screens
from sagepack.cli.output import confirm, echo
from sagepack.cli.task import CONNECTIONS, LOCKED, STREAM, Flag, task
from sagepack.engine import lazy
from sagepack.engine.steps import GOALS
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.api import review
    from sagepack.api.project import Project
    from sagepack.api.results import Built, Locked, Plan, Validated, Verified, VerifiedRemote
else:
    review = lazy.module("api.review")


@task()
def validate(project: Project) -> Validated:
    """Check the spec and the files that it names: every mistake at once, each with its place and what to do."""
    return project.validate()


@task(Flag("update", default=False, help="resolve again even if the lock is up to date with the spec"), LOCKED)
def lock(project: Project, *, update: bool, locked: bool) -> Locked:
    """Resolve revision, files, image and requirements; write config/locks/<name>-<env>.lock.yaml."""
    return project.lock(update=update, locked=locked)


@task(
    Flag("to", "package", "the step to plan for, or package", choices=tuple(GOALS)),
    Flag("out", "", "write the plan to this file, for `deploy --plan`"),
    LOCKED,
    STREAM,
)
def plan(project: Project, *, to: str, out: str, locked: bool, stream: bool) -> Plan:
    """Show what would run and why; exit code 0 if nothing would, 2 if something would."""
    if not out:
        return project.plan(to, locked=locked, stream=stream)
    reviewed = project.review(to, locked=locked, stream=stream)
    reviewed.write(Path(out))
    return reviewed.plan


@task(LOCKED, CONNECTIONS)
def download(project: Project, *, locked: bool, connections: int) -> Built:
    """Fetch the model's files into the Hugging Face cache, every byte checked against the lock."""
    return project.build("download", locked=locked, connections=connections)


@task(LOCKED)
def assemble(project: Project, *, locked: bool) -> Built:
    """Stage the inference code and the requirements."""
    return project.build("assemble", locked=locked)


@task(LOCKED)
def checksum(project: Project, *, locked: bool) -> Built:
    """Write the manifest; its digest is the identity of the package."""
    return project.build("checksum", locked=locked)


@task(LOCKED, CONNECTIONS)
def tar(project: Project, *, locked: bool, connections: int) -> Built:
    """Write dist/<name>/<env>/model.tar.gz (the same as `package`)."""
    return project.build("tar", locked=locked, connections=connections)


@task(LOCKED, CONNECTIONS)
def package(project: Project, *, locked: bool, connections: int) -> Built:
    """Everything up to dist/<name>/<env>/model.tar.gz, its .sha256 and manifest.json."""
    return project.build("package", locked=locked, connections=connections)


@task(LOCKED, STREAM, CONNECTIONS)
def upload(project: Project, *, locked: bool, stream: bool, connections: int) -> Built:
    """Publish the package under its content-addressed key; sends only what is missing in S3."""
    return project.build("upload", locked=locked, stream=stream, connections=connections)


@task(
    LOCKED,
    STREAM,
    CONNECTIONS,
    Flag("plan", "", "do what this plan says (`plan --to deploy --out FILE`), or nothing", parameter="plan_file"),
    Flag("yes", default=False, help="do not ask before a protected environment is changed"),
)
def deploy(project: Project, *, locked: bool, stream: bool, connections: int, plan_file: str, yes: bool) -> Built:
    """Publish, then make the endpoint what the spec says, and wait until it is."""
    agreed = None
    if plan_file:
        agreed = review.ReviewedPlan.read(Path(plan_file))
    elif project.is_protected and not yes:
        agreed = project.review("deploy", locked=locked, stream=stream)
        if agreed.plan.exit_code == FOUND_WORK:
            for line in screens.lines(agreed.plan):
                echo(line)
            confirm(f"deploy to {agreed.settings['env']}", yes=yes)
    return project.build("deploy", locked=locked, stream=stream, connections=connections, plan=agreed)


@task(
    Flag("rebuild", default=False, help="build again from nothing and compare the bytes"),
    Flag("remote", default=False, help="check what S3 holds, in a few small requests"),
    Flag("deep", default=False, help="with --remote: read and hash every byte that S3 holds"),
)
def verify(project: Project, *, rebuild: bool, remote: bool, deep: bool) -> Verified | VerifiedRemote:
    """Check the artifact against its manifest, byte by byte; with --remote, the package in S3."""
    if deep and not remote:
        raise UserError("it says how much of the package in S3 is read", where="--deep", fix="write --remote --deep")
    if rebuild and remote:
        raise UserError("one is about the artifact on this disk, the other about S3", where="--rebuild --remote")
    return project.verify_remote(deep=deep) if remote else project.verify(rebuild=rebuild)
