"""The tasks of a build: from a spec to a package, in S3, behind an endpoint."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack.api.results import GRAPH_FORMATS, SBOM_VERSIONS
from sagepack.cli import screens
from sagepack.cli.agreement import agreed_plan
from sagepack.cli.layout import Screen, plain
from sagepack.cli.task import CONNECTIONS, LOCKED, NO_SMOKE, REMOTE, STREAM, WORKERS, YES_CHANGE, Flag, task
from sagepack.engine import lazy
from sagepack.engine.steps import GOALS
from sagepack.errors import UserError
from sagepack.files import require_output, write_output

if TYPE_CHECKING:
    from sagepack.api import review
    from sagepack.api.project import Project
    from sagepack.api.results import (
        Built,
        Graph,
        Locked,
        Plan,
        Sbom,
        Scanned,
        Signed,
        Validated,
        Verified,
        VerifiedRemote,
    )
else:
    review = lazy.module("api.review")

_GRAPH = re.compile(rb' *STEP |flowchart TD\n  step_|<svg [^>]*id="sagepack-graph"')  # as each format begins


@task(example="--env prod")
def validate(project: Project) -> Validated:
    """Check the spec and the files that it names.

    All mistakes are reported in one run, each with its file, line and column, and what to do.
    """
    return project.validate()


@task(
    Flag("update", default=False, help="resolve again even if the lock is up to date with the spec"),
    Flag("pin", default=False, help="first write the commit into the spec, in place of its branch"),
    LOCKED,
    example="--update --env prod",
)
def lock(project: Project, *, update: bool, pin: bool, locked: bool) -> Locked:
    """Resolve revision, files, image and requirements.

    They are written to config/locks/<name>-<env>.lock.yaml, which builds read: commit it.
    """
    return project.lock(update=update, pin=pin, locked=locked)


@task(example="--env prod")
def scan(project: Project) -> Scanned:
    """Judge the model's files by their content.

    A few ranges of each are read: pickles by their opcodes, headers of safetensors, archives, programs, and the code that
    configurations make a loader run. The exit code is 1 if `trust.scan` refuses something, and 4 if a file is damaged.
    """
    return project.scan()


@task(
    Flag("to", "package", "the step to plan for, or package", choices=tuple(GOALS), placeholder="STEP"),
    Flag("out", "", "write the plan to this file, for `deploy --plan`", placeholder="FILE"),
    LOCKED,
    STREAM,
    REMOTE,
    WORKERS,
    example="--to deploy --env prod --out prod.plan",
)
def plan(project: Project, *, to: str, out: str, locked: bool, stream: bool, remote: bool, workers: int | None) -> Plan:
    """Show what would run and why.

    It changes nothing. The exit code is 0 if nothing would run, and 2 if something would.
    """
    if not out:
        return project.plan(to, locked=locked, stream=stream, remote=remote, workers=workers or 0)
    reviewed = project.review(to, locked=locked, stream=stream, remote=remote, workers=workers or 0)
    reviewed.write(Path(out))
    project.progress.note(f"the plan is in {out}: `deploy --plan {out}` does exactly that")
    return reviewed.plan


@task(
    Flag("to", "package", "the last step, or package", choices=tuple(GOALS), placeholder="STEP"),
    Flag("format", "text", "how it is drawn", parameter="form", choices=GRAPH_FORMATS, placeholder="FORMAT"),
    Flag("output", "", "write it to this file", placeholder="FILE"),
    LOCKED,
    STREAM,
    REMOTE,
    WORKERS,
    example="--to deploy --env prod --format svg --output steps.svg",
)
def graph(
    project: Project,
    *,
    to: str,
    form: str,
    output: str,
    locked: bool,
    stream: bool,
    remote: bool,
    workers: int | None,
) -> Graph:
    """Draw the steps of a plan and what each needs.

    For a terminal, as a flowchart of Mermaid for a README, or as a picture in SVG for a page, light or dark. It says of each step
    what `plan` says, and changes nothing. The exit code is 0 whether there is work or not.
    """
    if output:
        require_output(Path(output), output, "--output", "graph", lambda head: _GRAPH.match(head) is not None)
    drawn = project.graph(to, form, locked=locked, stream=stream, remote=remote, workers=workers or 0)
    if not output:
        return drawn
    shown = Screen(glyphs="unicode")
    text = drawn.document or "".join(f"{plain(line).rstrip()}\n" for line in shown.lines(screens.lines(drawn)))
    write_output(Path(output), text.encode())
    return replace(drawn, path=output)


@task(LOCKED, CONNECTIONS, builds=True)
def download(project: Project, *, locked: bool, connections: int) -> Built:
    """Fetch the model's files into the Hugging Face cache.

    Every byte is checked against the lock.
    """
    return project.build("download", locked=locked, connections=connections)


@task(LOCKED, builds=True)
def assemble(project: Project, *, locked: bool) -> Built:
    """Stage the inference code and the requirements."""
    return project.build("assemble", locked=locked)


@task(LOCKED, builds=True)
def checksum(project: Project, *, locked: bool) -> Built:
    """Write the manifest.

    It names every file of the package with its SHA-256; its digest is the identity of the package.
    """
    return project.build("checksum", locked=locked)


@task(LOCKED, CONNECTIONS, builds=True)
def tar(project: Project, *, locked: bool, connections: int) -> Built:
    """Write model.tar.gz; the same as `package`."""
    return project.build("tar", locked=locked, connections=connections)


@task(LOCKED, CONNECTIONS, builds=True, example="--config config/svd.yaml --env prod")
def package(project: Project, *, locked: bool, connections: int) -> Built:
    """Run all steps up to dist/<name>/<env>/model.tar.gz.

    Beside it are model.tar.gz.sha256 and manifest.json.
    """
    return project.build("package", locked=locked, connections=connections)


@task(LOCKED, STREAM, REMOTE, CONNECTIONS, WORKERS, builds=True, example="--env prod --stream")
def upload(
    project: Project, *, locked: bool, stream: bool, remote: bool, connections: int, workers: int | None
) -> Built:
    """Publish the package to S3.

    Its key follows from its contents. S3 copies what it has already, and only the rest is sent. With --remote a job in the
    region sends it, from the Hub: this command starts the job and follows it.
    """
    return project.upload(locked=locked, stream=stream, remote=remote, connections=connections, workers=workers or 0)


@task(
    LOCKED,
    STREAM,
    REMOTE,
    CONNECTIONS,
    WORKERS,
    Flag(
        "plan",
        "",
        "do what this plan says (`plan --to deploy --out FILE`), or nothing",
        parameter="plan_file",
        placeholder="FILE",
    ),
    NO_SMOKE,
    YES_CHANGE,
    builds=True,
    example="--env prod --set endpoint.instance_type=ml.g5.4xlarge",
)
def deploy(
    project: Project,
    *,
    locked: bool,
    stream: bool,
    remote: bool,
    connections: int,
    workers: int | None,
    plan_file: str,
    no_smoke: bool,
    yes: bool,
) -> Built:
    """Publish, create or update the endpoint, and wait for it.

    It ends when the endpoint is in service, is what the spec says, and has answered the spec's sample twice. If it does not
    answer as expected, the release before is put back.
    """
    agreed = None
    if plan_file:
        agreed = review.ReviewedPlan.read(Path(plan_file))
    elif project.is_protected and not yes:
        agreed = agreed_plan(
            project.review("deploy", locked=locked, stream=stream, remote=remote, workers=workers or 0),
            project.progress,
        )
    return project.deploy(
        locked=locked,
        stream=stream,
        connections=connections,
        workers=workers or 0,
        plan=agreed,
        smoke=not no_smoke,
        recreate=yes,
        remote=remote,
    )


@task(
    Flag("rebuild", default=False, help="build again from nothing and compare the bytes"),
    Flag("remote", default=False, help="check what S3 holds, in a few small requests"),
    Flag("deep", default=False, help="with --remote: read and hash every byte that S3 holds"),
    example="--remote --env prod",
)
def verify(project: Project, *, rebuild: bool, remote: bool, deep: bool) -> Verified | VerifiedRemote:
    """Check every byte of the archive against its manifest.

    With --remote it checks the package in S3 instead, with --remote --deep every byte of it.
    """
    if deep and not remote:
        raise UserError("it says how much of the package in S3 is read", where="--deep", fix="write --remote --deep")
    if rebuild and remote:
        raise UserError("one is about the artifact on this disk, the other about S3", where="--rebuild --remote")
    return project.verify_remote(deep=deep) if remote else project.verify(rebuild=rebuild)


@task(
    Flag("spec-version", SBOM_VERSIONS[0], "of CycloneDX", choices=SBOM_VERSIONS, placeholder="VERSION"),
    example="--env prod --spec-version 1.7",
)
def sbom(project: Project, *, spec_version: str) -> Sbom:
    """Print the bill of materials of the package.

    It lists the model and its licence, every file with its SHA-256, the image, and what the container installs, in the form of
    CycloneDX. `upload` publishes the same beside the package, unless `trust.sbom` is none. Neither model nor archive is read.
    """
    return project.sbom(spec_version)


@task(example="--env prod --set trust.sign=kms:alias/release")
def sign(project: Project) -> Signed:
    """Sign the package that is published.

    All of it is compared with lock and code first. The model is read and hashed, unless this machine published it or a key of
    trust.verify has signed it. It takes the permission to read the package and to write its signatures
    (`policy --for sign`), and the key that trust.sign names.
    """
    return project.sign()
