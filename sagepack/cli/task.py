"""Makes tasks of invoke from functions: `@task(flags)` over a function from a `Project` and its own flags to a result."""

from __future__ import annotations

import inspect
import keyword
import sys
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from invoke.tasks import Task

from sagepack import hub
from sagepack.cli.main import run_command
from sagepack.cli.options import STDOUT, Options
from sagepack.decoding import Value
from sagepack.errors import UserError
from sagepack.spec import project_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Sequence
    from pathlib import Path

    from invoke.context import Context
    from invoke.parser.argument import Argument

    from sagepack.api.project import Project
    from sagepack.api.results import Result

Scope = Literal["spec", "project", "folder"]
_Body = TypeVar("_Body", bound="Callable[..., Result]")


class Flag(Value, frozen=True):
    """A flag of the command line.

    Attributes:
        name: as it is typed, without the dashes.
        default: its kind follows from it: a switch, a text, a whole number, or texts (the flag may be
            repeated).
        help: for `invoke --help TASK`.
        most: the largest number that is accepted; the smallest is 1. With an empty text as default the number may be left
            out, and arrives as None.
        parameter: name of the function's parameter, if that is not `name` with underscores.
        choices: the values that are accepted; empty if that is no list.
        positional: typed without a name; such flags come first. It is required, unless it has a default.
        placeholder: what stands for its value in the help.
        endless: whether the task goes on until Ctrl-C with it, and writes to stdout meanwhile.
    """

    name: str
    default: bool | str | int | tuple[str, ...]
    help: str
    most: int = 0
    parameter: str = ""
    choices: tuple[str, ...] = ()
    positional: bool = False
    placeholder: str = ""
    endless: bool = False

    @property
    def value_name(self) -> str:
        """What stands for its value in the help; empty for a switch."""
        if isinstance(self.default, bool):
            return ""
        return self.placeholder or (self.name.upper() if self.positional else "N" if self.most else "VALUE")

    @property
    def is_required(self) -> bool:
        """Whether the task cannot do without it."""
        return self.positional and not self.default

    @property
    def place(self) -> str:
        """What stands in a usage line for one that is typed without a name."""
        return self.value_name if self.is_required else f"[{self.value_name}]"

    @property
    def keyword(self) -> str:
        """Name of the function's parameter."""
        return self.parameter or self.name.replace("-", "_")

    @property
    def shown_default(self) -> bool | str | list[str]:
        """The default as invoke takes it: numbers as text, since it meets a wrong one with a traceback."""
        if isinstance(self.default, tuple):
            return list(self.default)
        return self.default if isinstance(self.default, bool) else str(self.default)

    def value(self, given: Any) -> Any:
        """What was typed, as the function takes it.

        Raises:
            UserError: a number is wanted, and it is none, or out of range.
        """
        if not self.most:
            return given
        return None if given == self.default else parse_int(given, f"--{self.name}", self.most)


_ALWAYS = (
    Flag("json", default=False, help="print one JSON document on stdout, and nothing else there"),
    Flag(
        "events",
        "",
        "also write what happens to this file as it happens, one JSON document a line; - for stdout",
        placeholder="FILE",
    ),
    Flag("debug", default=False, help="show tracebacks"),
)
SET = Flag(
    "set", (), "lay a value over spec and environment; repeat it for more", parameter="sets", placeholder="KEY=VALUE"
)
_COMMON = (
    Flag("config", "", "the spec; if left out, the only one in config/, or of several svd.yaml", placeholder="FILE"),
    Flag("env", "local", "the environment, a file in config/env/; local is the sandbox", placeholder="NAME"),
    SET,
    *_ALWAYS,
)
_DEFAULTS = {flag.keyword: flag.default for flag in _COMMON}
LOCKED = Flag("locked", default=False, help="fail instead of making or updating the lock (for CI)")
STREAM = Flag("stream", default=False, help="publish from the Hub to S3 without the model on this disk")
REMOTE = Flag(
    "remote", default=False, help="publish by a SageMaker Processing job in the region (`remote` of the spec)"
)
CONNECTIONS = Flag("connections", hub.CONNECTIONS, "most connections to the Hub at once", most=64)
WORKERS = Flag(
    "workers", "", "make what is published in this many processes, which stream what is not on this disk", most=64
)
YES = Flag("yes", default=False, help="do not ask before something is removed")
YES_CHANGE = Flag(
    "yes",
    default=False,
    help="do not ask before a protected environment is changed, and delete an endpoint that has failed to create it again",
)
NO_SMOKE = Flag("no-smoke", default=False, help="do not try whether the endpoint answers the sample")


class Registered(Value, frozen=True):
    """A task, before the project's folder is known."""

    body: Callable[..., Result]
    flags: tuple[Flag, ...]
    group: str
    scope: Scope
    example: str
    builds: bool

    @property
    def name(self) -> str:
        """The task as it is typed; one that has the name of its group is meant by the name alone."""
        name = self.body.__name__
        return f"{self.group}.{name}" if self.group not in {"", name} else name

    @property
    def all_flags(self) -> tuple[Flag, ...]:
        """Those that tasks share, and its own."""
        return (*(_COMMON if self.scope == "spec" else _ALWAYS), *self.flags)


TASKS: list[Registered] = []


def task(
    *flags: Flag, group: str = "", scope: Scope = "spec", example: str = "", builds: bool = False
) -> Callable[[_Body], _Body]:
    """Register a function from a `Project`, and the keywords of `flags`, to a result as a task.

    The function's name is the task's, the first line of its docstring what `invoke --list` says.

    Args:
        flags: the task's own flags; those of `Options` every task has.
        group: the task is called `group.name`.
        scope: what it works on: a spec, which has flags that select it; a project; or any folder.
        example: flags for the example of the help.
        builds: whether it makes the package or changes what the endpoint serves, by steps: the events of the last such run are
            kept in the build folder.
    """

    def register(body: _Body) -> _Body:
        TASKS.append(Registered(body, flags, group, scope, example, builds))
        return body

    return register


def invoke_task(registered: Registered, root: Path, filled: Container[str] = ()) -> Task[Any]:
    """The task of invoke that runs a registered one.

    Args:
        registered: the task.
        root: the project's folder.
        filled: names of the flags that this command line gives.
    """
    flags = registered.all_flags

    def call(_context: Context, **given: Any) -> None:
        by_flag = {flag: given[_word(flag)] for flag in flags}
        common = {flag.keyword: by_flag.pop(flag) for flag in _COMMON if flag in by_flag}
        # A task may have a name of its own for one of these, such as --to-env.
        named = {
            flag.keyword: text
            for flag in registered.flags
            if flag in by_flag and flag.keyword in common and (text := by_flag.pop(flag))
        }
        contradicted = [name for name, text in named.items() if common[name] not in (text, _DEFAULTS[name])]
        common |= named
        sets = tuple(common.get("sets", ()))
        about = {"selects": registered.scope == "spec", "builds": registered.builds}
        options = Options(root, **{**common, **about, "sets": sets})

        def body(project: Project) -> Result:
            for name in contradicted:
                raise UserError(
                    f"two flags name the {name}, and not the same", where=f"--{name}", fix=f"leave --{name} out"
                )
            if registered.scope != "folder":
                project_folder.require(root)
            if endless := next((flag for flag, given in by_flag.items() if flag.endless and given), None):
                _require_stdout(endless, options)
            own = {flag.keyword: flag.value(text) for flag, text in by_flag.items()}
            return registered.body(project, **own)

        code = run_command(registered.name, body, options)
        if code:
            sys.exit(code)

    # invoke reads the command line's flags off the signature. It knows no places that may stay empty: one that does is a flag
    # with a default to it.
    places = [flag for flag in flags if flag.is_required or (flag.positional and flag.name in filled)]
    call.__signature__ = _signature(flags, places)  # type: ignore[attr-defined]
    call.__doc__ = registered.body.__doc__
    texts = {flag.name: flag.help for flag in flags}
    return _Task(
        call,
        name=registered.body.__name__,
        help=texts,
        positional=[_word(flag) for flag in places],
        iterable=[_word(flag) for flag in flags if isinstance(flag.default, tuple)],
        auto_shortflags=False,
    )


def _signature(flags: Sequence[Flag], places: Sequence[Flag]) -> inspect.Signature:
    """The signature from which invoke reads the flags; those of `places` have no default."""
    first = inspect.Parameter("_context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    others = [
        inspect.Parameter(
            _word(flag),
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if flag in places else flag.shown_default,
        )
        for flag in flags
    ]
    return inspect.Signature([first, *others])


def _require_stdout(flag: Flag, options: Options) -> None:
    """Refuse a flag with which a task goes on writing to stdout, where that is for a document or for the events.

    Raises:
        UserError: it is.
    """
    if options.json:
        fix = f"leave --{flag.name} out for one document"
        raise UserError("what goes on until Ctrl-C is no JSON document", where=f"--{flag.name} --json", fix=fix)
    if options.events == STDOUT:
        where = f"--{flag.name} --events {STDOUT}"
        raise UserError("both would be written to stdout", where=where, fix="write the events to a file")


class _Task(Task[Any]):
    def get_arguments(self, ignore_unknown_help: bool | None = None) -> list[Argument]:
        """Invoke takes the empty list that it begins with for a value, and so drops a `--set` without one in silence."""
        arguments: list[Argument] = super().get_arguments(ignore_unknown_help)
        for argument in arguments:
            if argument.kind is list:
                argument.raw_value = None
        return arguments


def parse_int(text: str, flag: str, most: int) -> int:
    """The whole number from 1 to `most` that a flag was given.

    Raises:
        UserError: it is something else.
    """
    if text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most:
        return int(text)
    raise UserError(f"{text!r} is not a whole number from 1 to {most:,}", where=flag)


def _word(flag: Flag) -> str:
    """The flag's name as invoke takes it from a signature; it drops an underscore at the end, which words of Python need."""
    name = flag.name.replace("-", "_")
    return f"{name}_" if keyword.iskeyword(name) else name
