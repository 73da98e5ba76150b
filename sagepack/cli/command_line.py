"""Reads a command line before invoke does, and refuses what invoke would ignore in silence or explain in its own words.

invoke takes flags of its own before and after each task: `invoke --dry deploy` deploys, `invoke -f config/llava.yaml deploy`
deploys the default spec, and in `invoke lock deploy --env prod` only the second task sees the environment. Here a line is
one task with flags of this program, or a question (`--help`, `--list`). What is accepted here, invoke's parser reads in the
same way.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

from sagepack.decoding import Value
from sagepack.engine import lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sagepack.cli import refusals
    from sagepack.cli.refusals import Refusals, Tasks
    from sagepack.cli.task import Flag

    Wrong = Callable[[], Refusals]  # words what is wrong, when something is
else:
    refusals = lazy.module("cli.refusals")

SHELLS = ("bash", "fish", "zsh")
_HELP = ("--help", "-h")
_LIST = ("--list", "-l")
_HOW_TO_LIST = ("--list-depth", "-D", "--list-format", "-F")
_Given = dict[str, bool | str | list[str]]


class Command(Value, frozen=True):
    """What a command line asks for.

    Attributes:
        task: the task; for `list`, the group that is to be listed, or nothing.
        given: the values of the flags that were given: a list for a flag that may be repeated.
        answer: instead of running the task, its `help` or the `list` of all is wanted, or it is a question to `invoke`.
    """

    task: str
    given: _Given
    answer: Literal["", "help", "list", "invoke"] = ""


def read(words: Sequence[str], tasks: Tasks, program: str = "invoke") -> Command:
    """What a command line asks for.

    Args:
        words: the command line without the program's name.
        tasks: the flags of each task.
        program: the name that proposals begin with.

    Raises:
        UserError: the line is no single task with flags of its own; `fix` is what to write instead.
    """

    def wrong() -> Refusals:
        return refusals.Refusals(tasks, program)

    if not words:
        return Command("", {}, "list")
    if words[0] == "--complete":
        return Command("", {}, "invoke")
    if words[0].startswith("-"):
        return _question(words, tasks, wrong)
    if words[0] not in tasks:
        raise wrong().unknown_task(words)
    if not set(_HELP).isdisjoint(words):
        return Command(words[0], {}, "help")
    return Command(words[0], _values(words[0], words[1:], tasks, wrong))


def _question(words: Sequence[str], tasks: Tasks, wrong: Wrong) -> Command:
    """What a line that begins with a flag asks for."""
    name, equals, value = words[0].partition("=")
    rest = [value, *words[1:]] if equals else list(words[1:])
    command = Command("", {}, "invoke")
    if name in _HELP:
        if rest and rest[0] not in tasks:
            raise wrong().unknown_task(rest)
        command = Command(rest.pop(0), {}, "help") if rest else Command("", {}, "list")
    elif name == "--print-completion-script":
        if not rest or rest.pop(0) not in SHELLS:
            raise UserError(f"{name} needs the name of a shell", fix=f"write one of {', '.join(SHELLS)} after it")
    elif _is_list(words):
        rest = [word for word in words if word in tasks]
    elif name in _LIST:
        groups = {task.partition(".")[0] for task in tasks if "." in task}
        if rest and not rest[0].startswith("-") and rest[0] not in groups:
            raise UserError(
                f"{rest[0]!r} is no group of tasks", where=name, fix=f"there is {', '.join(sorted(groups))}"
            )
        command = Command(rest.pop(0) if rest and rest[0] in groups else "", {}, "list")
    elif name not in ("--version", "-V"):
        raise wrong().before_task(words)
    if rest:
        raise wrong().misplaced(name, rest[0])
    return command


def _is_list(words: Sequence[str]) -> bool:
    """Whether it is a list in a form that invoke alone knows."""
    names = {word.partition("=")[0] for word in words if word.startswith("-")}
    return not names.isdisjoint(_LIST) and not names.isdisjoint(_HOW_TO_LIST) and names <= {*_LIST, *_HOW_TO_LIST}


def _values(task: str, words: Sequence[str], tasks: Tasks, wrong: Wrong) -> _Given:
    """The flags that were given to a task."""
    given: _Given = {}
    repeated = defaultdict[str, list[str]](list)
    for flag, value in _pairs(task, words, tasks, wrong):
        if isinstance(flag.default, tuple):
            repeated[flag.name].append(str(value))
            given[flag.name] = repeated[flag.name]
        elif flag.name in given and value is not True:
            fix = f"write it once, such as --{flag.name} {value}"
            raise UserError(f"--{flag.name} is given twice", where=task, fix=fix)
        else:
            given[flag.name] = value
    for flag in tasks[task]:
        if flag.is_required and flag.name not in given:
            raise wrong().missing(task, flag)
    return given


def _pairs(task: str, words: Sequence[str], tasks: Tasks, wrong: Wrong) -> Iterator[tuple[Flag, str | Literal[True]]]:
    """The flags in their order, each with its value."""
    flags = {f"--{flag.name}": flag for flag in tasks[task]}
    places = [flag for flag in reversed(tasks[task]) if flag.positional]
    rest = list(reversed(words))
    while rest:
        word = rest.pop()
        name, equals, value = word.partition("=")
        if name in flags:
            flag = flags[name]
            if isinstance(flag.default, bool):
                if equals:
                    raise UserError(f"{name} takes no value", where=word, fix=f"write {name}, or leave it out")
                yield flag, True
                continue
            if not equals and rest and (rest[-1] == "-" or not rest[-1].startswith("-")):
                value = rest.pop()
        elif places and _fits(places[-1], word, tasks):
            flag, value = places[-1], word
        else:
            raise wrong().unknown_word(task, words, word)
        places = [place for place in places if place is not flag]
        _check(flag, value, flags, wrong)
        yield flag, value


def _fits(place: Flag, word: str, tasks: Tasks) -> bool:
    """Whether a word is for a place. One that may stay empty takes no word that most likely is meant as something else."""
    if place.is_required:
        return not word.startswith("-")
    return not (word.startswith("-") or word in tasks or "=" in word or word.endswith((".yaml", ".yml")))


def _check(flag: Flag, value: str, flags: Mapping[str, Flag], wrong: Wrong) -> None:
    if not value:
        raise wrong().no_value(flag)
    if value in flags:
        raise UserError(f"{value!r} cannot be a value: it is a flag of this task", where=f"--{flag.name}")
    if flag.choices and value not in flag.choices:
        raise wrong().no_choice(flag, value)
