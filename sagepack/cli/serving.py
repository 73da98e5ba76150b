"""The tasks that run a package on this machine, under the image's serving stack."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

from sagepack.api.results import Followed, ServingStack
from sagepack.cli import interrupts, screens
from sagepack.cli.endpoint import FIELD, fields_of, request_of, target_of
from sagepack.cli.output import as_called, echo, problem, write_out
from sagepack.cli.proposals import selecting_flags
from sagepack.cli.task import Flag, task
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.api.results import Served
    from sagepack.api.serving import Serving
    from sagepack.api.watching import Watched
    from sagepack.serving import stack
else:
    stack = lazy.module("serving.stack")


@task(
    Flag(
        "package",
        "",
        "what to run: a model.tar.gz, an s3:// address, or a release by its number; if left out, the working tree",
        placeholder="PACKAGE",
    ),
    Flag(
        "input",
        "",
        "send this request instead of the sample: a JSON file, - for JSON from stdin; an image or a recording, which takes the place of the one in it",
        parameter="source",
        placeholder="FILE",
    ),
    Flag(
        "output",
        "",
        "where the answer goes: a file, whose suffix says what it should be (.mp4, .gif, .json), or a folder for the frames",
        placeholder="PATH",
    ),
    FIELD,
    Flag(
        "accept",
        "",
        "the media type that the answer should have; if left out, that of the output's suffix, or sample.accept of the spec",
        placeholder="TYPE",
    ),
    Flag(
        "watch", default=False, help="go on until Ctrl-C, and serve each edit of the code as it is saved", endless=True
    ),
    Flag("keep", default=False, help="go on until Ctrl-C, for requests of your own", endless=True),
    Flag("image", default=False, help="run the image itself, by docker, instead of the serving stack"),
    group="serve",
    example="--watch",
)
def serve(
    project: Project,
    *,
    package: str,
    source: str,
    output: str,
    fields: Sequence[str],
    accept: str,
    watch: bool,
    keep: bool,
    image: bool,
) -> Served | Followed:
    """Run the package here, under the image's serving stack.

    It starts as in the container of an endpoint, gets the sample twice as after a deployment, and its answers are checked in the
    same way. If it fails, the traceback of its code is shown. `serve.install` installs what that takes.

    --watch takes each saved edit of the code: the model is loaded again only if what `model_fn` needs has changed, and the last
    code that answered the sample goes on to serve while an edit is wrong.
    """
    _refuse(package, watch=watch, image=image)
    request, target = request_of(source), target_of(output, source, project.root)
    chosen, laid_over = accept or None, fields_of(fields)
    if watch:
        with interrupts.endless(), project.watching(request, target, accept=chosen, fields=laid_over) as watched:
            return _watch(project, watched, target)
    goes_on = interrupts.endless() if keep else nullcontext()
    with goes_on, project.serving(package, request, target, accept=chosen, fields=laid_over, image=image) as served:
        result = served.try_it(target)
        return _keep(project, served, result) if keep else result


def _refuse(package: str, *, watch: bool, image: bool) -> None:
    """Refuse flags that contradict each other, before anything is started.

    Raises:
        UserError: they do.
    """
    if watch and package:
        fix = "leave --package out to serve the working tree, or --watch to serve what was built"
        raise UserError("what was built is not edited", where="--watch with --package", fix=fix)
    if watch and image:
        fix = "leave one of them out"
        raise UserError("the image's server cannot take edits", where="--watch with --image", fix=fix)


def _keep(project: Project, served: Serving, result: Served) -> Followed:
    """Show what the server writes until Ctrl-C, or until nobody reads it any more."""
    write_out([*screens.lines(result), *screens.kept(served.url, _commands(project, served))])
    count = 0
    for line in served.follow():
        if not write_out([line]):
            break
        count += 1
    return Followed(count)


def _watch(project: Project, watched: Watched, target: Path | None) -> Followed:
    """Show what comes of each edit until Ctrl-C, or until nobody reads it any more; the code may be wrong at first."""
    try:
        write_out(screens.lines(watched.try_it(target)))
    except UserError as error:
        echo(problem("error", error.lines()))
    write_out(screens.kept(watched.url, _commands(project, watched), watch=True))
    count = 0
    for edit in watched.edits():
        if not write_out(screens.edit(edit)):
            break
        count += 1
    return Followed(count)


def _commands(project: Project, served: Serving) -> list[str]:
    """The commands that send a request to a server."""
    flags = selecting_flags(project.selection.config, project.selection.env)
    return [served.curl(), as_called(f"`invoke predict --url {served.url}`", flags).strip("`")]


@task(group="serve", scope="folder")
def install(project: Project) -> ServingStack:
    """Install what packages run under on this machine.

    It is the image's serving stack, in .venv-serve of the project or, where there is none yet, of this folder: 1.4 GB and two minutes or
    more, because it brings torch. It needs Java 11 or later, and Python 3.11 or later.
    """
    return ServingStack(str(stack.install(project.root, project.progress.note)))
