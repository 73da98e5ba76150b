"""The deployment of a spec as files for another infrastructure tool."""

from __future__ import annotations

import difflib
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.deploy.deployment import Deployment
from sagepack.deploy.export.formats import MARK, exported
from sagepack.deploy.iam_policy import execution_policy
from sagepack.errors import RemoteError, UserError
from sagepack.files import unreadable, write_atomically
from sagepack.publish.keys import Package, packages_uri
from sagepack.text import one_of

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext

STDOUT = "-"


def export(
    context: BuildContext, config: Path, tool: str, output: str, *, check: bool = False, create_role: bool = False
) -> results.Exported:
    """Write the files of an export, or compare them with what is there; raises as `Project.export`.

    Args:
        context: of a run to `deploy`, of which no step runs.
        config: the spec's file.
        tool: the format.
        output: a folder, as a path from the working folder; `-` writes nothing; empty for `export/` of the project.
        check: compare alone.
        create_role: whether the files make the execution role, too.
    """
    if tool not in results.TOOLS:
        raise UserError(f"there is no format {tool!r}", where="--format", fix=f"choose one of {one_of(results.TOOLS)}")
    spec, identity = context.spec, context.manifest.digest
    uri = Package.of(spec, identity).model_uri  # not by way of the services, which a check does without
    deployment = Deployment.of(spec, context.required_lock(), str(uri), identity)
    permissions = execution_policy(spec, packages_uri(spec)) if create_role else None
    folder = _folder(context, tool, output)
    place = _place(context, folder) if output and folder else None
    made = exported(spec, deployment, tool, _selection(context, config), permissions, folder=place)
    files: tuple[results.ExportedFile, ...]
    if folder is None:
        _require_one_file(tool, check=check)
        files = (results.ExportedFile(STDOUT, "printed", text=made.main),)
    else:
        files = tuple(_compared(context, folder / name, text, made.mark) for name, text in made.files.items())
    is_published = None if check else _published(context)
    if folder is not None and not check:
        _require_own(files)
        files = tuple(_written(folder, each, text) for each, text in zip(files, made.files.values(), strict=True))
    return results.Exported(
        format=tool,
        folder=context.display(folder) if folder else None,
        files=files,
        checked=check,
        endpoint=deployment.endpoint_name,
        package=deployment.model_data_uri,
        manifest=str(deployment.manifest_digest),
        published=is_published,
        limits=made.limits,
        next=made.next,
    )


def _folder(context: BuildContext, tool: str, output: str) -> Path | None:
    """Where the files are; None if one is printed."""
    if output == STDOUT:
        return None
    own = f"{context.spec.name}-{context.spec.env}"
    return Path(output).absolute() if output else context.work.root / "export" / own / tool


def _place(context: BuildContext, folder: Path) -> str:
    """A folder for commands, as every machine has it: of one outside of the project that is not known."""
    is_inside = folder.is_relative_to(context.work.root)
    return shlex.quote(context.display(folder)) if is_inside else "<this folder>"


def _selection(context: BuildContext, config: Path) -> str:
    """The flags that select the spec on every machine; of a spec outside of the project nothing but its environment is known."""
    inside = config.absolute().is_relative_to(context.work.root)
    of_file = ["--config", context.display(config.absolute())] if inside else []
    return shlex.join([*of_file, "--env", context.spec.env])


def _require_one_file(tool: str, *, check: bool) -> None:
    if check:
        raise UserError(
            "what is printed has nothing to be compared with", where="--check", fix="name a folder with --output"
        )
    if tool == "cdk":
        fix = "name a folder with --output, or leave it out"
        raise UserError("an app for the CDK is several files", where="--output", fix=fix)


def _compared(context: BuildContext, path: Path, text: str, mark: str) -> results.ExportedFile:
    """How a file differs from what would be written; git may have ended its lines as Windows does.

    Raises:
        UserError: it cannot be read.
    """
    name = context.display(path)
    try:
        before = path.read_bytes().decode().replace("\r\n", "\n")
    except FileNotFoundError:
        return results.ExportedFile(name, "missing")
    except UnicodeDecodeError:
        return results.ExportedFile(name, "foreign")
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=name, fix=fix) from error
    if before == text:
        return results.ExportedFile(name, "unchanged")
    if mark not in before:
        return results.ExportedFile(name, "other" if MARK in before else "foreign")
    lines = difflib.unified_diff(before.splitlines(), text.splitlines(), name, "the spec", lineterm="", n=1)
    return results.ExportedFile(name, "changed", diff=tuple(lines))


def _require_own(files: tuple[results.ExportedFile, ...]) -> None:
    """Check that nothing is overwritten which somebody else wrote.

    Raises:
        UserError: it would be.
    """
    fix = "name another folder with --output, or move the file away"
    for file in files:
        if file.state == "foreign":
            raise UserError("there is a file of that name which no export made", where=file.path, fix=fix)
        if file.state == "other":
            message = "there is a file of that name which an export of another format, spec or environment made"
            raise UserError(message, where=file.path, fix=fix)


def _written(folder: Path, file: results.ExportedFile, text: str) -> results.ExportedFile:
    """Write a file, unless it is as it should be.

    Raises:
        UserError: the disk refuses it.
    """
    if file.state == "unchanged":
        return file
    write_atomically(folder / Path(file.path).name, text.encode())
    return results.ExportedFile(file.path, "written")


def _published(context: BuildContext) -> bool | None:
    """Whether the package is in S3; None if that cannot be found out.

    Raises:
        UserError: it is not signed, and has to be; or it is not there to be verified.
        PackageError: it is not what was signed.
    """
    if context.spec.trust.verify:
        context.publication.require_signed(context.progress)
        return True
    try:
        return context.publication.upload_plan.done
    except (UserError, RemoteError) as error:
        context.progress.note(f"whether the package is in S3 could not be found out: {error.message}")
        return None
