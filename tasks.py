"""The tasks of `invoke`. Each is a few lines: the work is done by the package `sagepack`."""

from __future__ import annotations

from sagepack.cli import interrupts

if __name__ == "tasks":  # as invoke imports this file; before the imports that take time
    interrupts.install()

import importlib
import inspect
import sys
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.tasks import Task

from sagepack.cli import build as commands
from sagepack.cli import main
from sagepack.cli.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable

    from invoke.context import Context
    from invoke.parser.argument import Argument

ROOT = Path(__file__).resolve().parent

_HELP = {
    "config": "the spec (default config/svd.yaml)",
    "env": "the environment, a file in config/env/ (default local: the sandbox)",
    "set": "key=value, laid over spec and environment; may be repeated",
    "json": "print one JSON document on stdout and nothing else there",
    "debug": "show tracebacks",
    "yes": "do not ask before something is removed",
    "locked": "fail instead of making or refreshing the lock (for CI)",
    "update": "resolve again even if the lock answers the spec",
    "connections": "most connections to the Hub at once (default 8)",
    "stream": "publish from the Hub to S3 without the model on this disk",
    "to": "the step to plan for, or package",
    "rebuild": "build again from nothing and compare the bytes",
    "remote": "check what S3 holds, in a few small requests",
    "deep": "with --remote: read and hash every byte that S3 holds",
    "input": "the request: a JSON file, an image, or the spec's sample if left out",
    "output": "where the answer goes: a file, or a folder for the frames",
    "timeout": "seconds to wait for the answer (default 900)",
    "all": "remove build/ and dist/ of every spec, and the sandbox's state",
    "older-than": "hours an unfinished upload must be old to count as stale (default 24)",
}
_COMMON: dict[str, Any] = {"config": "config/svd.yaml", "env": "local", "set_": [], "json_": False, "debug": False}


class _Task(Task[Any]):
    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke takes the empty list that it begins with for a value, and so drops a `--set` without one in silence."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.kind is list:
                argument.raw_value = None
        return arguments


def _from(name: str) -> Any:
    # What the build itself does not need: a run with nothing to do waits for none of it.
    return importlib.import_module(f"sagepack.{name}")


def _command(**extra: Any) -> Callable[[Callable[..., int]], Task[Any]]:
    """Make a task of a function that takes `Options` (and the keywords of `extra` that are not options)."""

    def decorate(body: Callable[..., int]) -> Task[Any]:
        parameters = {**_COMMON, **extra}

        @wraps(body)
        def call(_context: Context, **given: Any) -> None:
            values = {name.rstrip("_"): value for name, value in given.items()}
            fields = {name: values.pop(name) for name in list(values) if name in Options.__dataclass_fields__}
            options = Options(ROOT, sets=tuple(values.pop("set")), **fields)
            code = main.run_command(lambda: body(options, **values), options)
            if code:
                sys.exit(code)

        # invoke reads the command line's flags off the signature. Numbers are text there: it meets a wrong one with a
        # traceback.
        context = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
        flags = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=value) for name, value in parameters.items()
        ]
        call.__signature__ = inspect.Signature([context, *flags])  # type: ignore[attr-defined]
        texts = {name.rstrip("_").replace("_", "-"): _HELP[name.rstrip("_").replace("_", "-")] for name in parameters}
        return _Task(call, help=texts, iterable=["set_"], auto_shortflags=False, name=body.__name__)

    return decorate


@_command()
def validate(options: Options) -> int:
    """Judge the spec: every mistake at once, each with its place and what to do."""
    return commands.validate(options)


@_command(update=False, locked=False)
def lock(options: Options, *, update: bool) -> int:
    """Resolve revision, files, image and requirements; write config/locks/<name>-<env>.lock.yaml."""
    return commands.lock(options, update=update)


@_command(to="package", locked=False, stream=False)
def plan(options: Options, *, to: str) -> int:
    """Show what would run and why; exit code 0 if nothing would, 2 if something would."""
    return commands.plan(options, to)


@_command(locked=False, connections="8")
def download(options: Options) -> int:
    """Fetch the model's files into the Hugging Face cache, every byte checked against the lock."""
    return commands.run_to(options, "download")


@_command(locked=False)
def assemble(options: Options) -> int:
    """Stage the inference code and the requirements."""
    return commands.run_to(options, "assemble")


@_command(locked=False)
def checksum(options: Options) -> int:
    """Write the manifest; its digest is the identity of the package."""
    return commands.run_to(options, "checksum")


@_command(locked=False, connections="8")
def tar(options: Options) -> int:
    """Write dist/<name>/<env>/model.tar.gz (the same as `package`)."""
    return commands.run_to(options, "tar")


@_command(locked=False, connections="8")
def package(options: Options) -> int:
    """Everything up to dist/<name>/<env>/model.tar.gz, its .sha256 and manifest.json."""
    return commands.run_to(options, "package")


@_command(locked=False, stream=False, connections="8")
def upload(options: Options) -> int:
    """Publish the package under its content-addressed key; sends only what S3 lacks."""
    return commands.run_to(options, "upload")


@_command(locked=False, stream=False, connections="8")
def deploy(options: Options) -> int:
    """Publish, then make the endpoint what the spec says, and wait until it is."""
    return commands.run_to(options, "deploy")


@_command(rebuild=False, remote=False, deep=False)
def verify(options: Options, *, rebuild: bool, remote: bool, deep: bool) -> int:
    """Check the artifact against its manifest, byte by byte; with --remote, the package in S3."""
    return int(_from("cli.endpoint").verify(options, rebuild=rebuild, remote=remote, deep=deep))


@_command(input="", output="", timeout="900")
def predict(options: Options, *, input: str, output: str, timeout: str) -> int:  # noqa: A002 - the flag is --input
    """Send an asynchronous request to the endpoint and wait for the answer or the failure."""
    return int(_from("cli.endpoint").predict(options, input, output, timeout))


@_command(yes=False)
def destroy(options: Options) -> int:
    """Remove the endpoint and all that deploy made for it, in the right order, and nothing else."""
    return int(_from("cli.endpoint").destroy(options))


@_command(all_=False)
def clean(options: Options, *, all: bool) -> int:  # noqa: A002 - the flag is --all
    """Remove local output of the spec: build/<name>-<env>/ and dist/<name>/<env>/."""
    return int(_from("cli.endpoint").clean(options, everything=all))


@_command(older_than="24")
def doctor(options: Options, *, older_than: str) -> int:
    """Look for what needs attention: unfinished uploads under the target."""
    return int(_from("cli.endpoint").doctor(options, older_than))


@_command(older_than="24", yes=False)
def gc(options: Options, *, older_than: str) -> int:
    """Abort unfinished uploads of ours that are old; shows them first."""
    return int(_from("cli.endpoint").gc(options, older_than))


@_command()
def policy(options: Options) -> int:
    """Print the least IAM policy that publishing needs."""
    return int(_from("cli.endpoint").policy(options))


@_command()
def status(options: Options) -> int:
    """Say whether the sandbox runs, and where."""
    return int(_from("cli.endpoint").sandbox_status(options))


@_command()
def stop(options: Options) -> int:
    """End the sandbox; what it held is gone."""
    return int(_from("cli.endpoint").sandbox_stop(options))


@_command()
def env(options: Options) -> int:
    """Print what the AWS CLI, boto3 or hf need to use the sandbox: eval "$(invoke sandbox.env)"; starts it."""
    return int(_from("cli.endpoint").sandbox_env(options))


_TASKS = (validate, lock, plan, download, assemble, checksum, tar, package, upload, deploy, verify, predict, destroy)
if __name__ == "tasks":
    sys.excepthook = main.uncaught
namespace = Collection(*_TASKS, clean, doctor, gc, policy, sandbox=Collection(status, stop, env))
