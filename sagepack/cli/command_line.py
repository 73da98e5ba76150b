"""Reads a command line before invoke does, and refuses what invoke would ignore in silence or explain in its own words.

invoke takes flags of its own before and after each task: `invoke --dry deploy` deploys, `invoke -f config/llava.yaml deploy`
deploys the default spec, and in `invoke lock deploy --env prod` only the second task sees the environment. Here a line is
one task with flags of this program, or a question that invoke answers (`--help`, `--list`). What is accepted here, invoke's
parser reads in the same way.
"""

from __future__ import annotations

import re
import shlex
from collections import defaultdict
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import UserError
from sagepack.text import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.cli.task import Flag

    Tasks = Mapping[str, Sequence[Flag]]  # the flags of each task, by its name

SHELLS = ("bash", "fish", "zsh")
_HELP = ("--help", "-h")
_LIST = ("--list", "-l", "--list-depth", "-D", "--list-format", "-F")
# Flags of invoke that change how it runs commands of a shell, or where it looks for tasks; no task here has use for them.
_INVOKES_OWN = {
    *("--echo", "-e", "--hide", "--pty", "-p", "--warn-only", "-w", "--command-timeout", "-T", "--collection"),
    *("--search-root", "-r", "--no-dedupe", "--prompt-for-sudo-password", "--write-pyc"),
}
# What people type for a flag. `-f` and `-c` are invoke's names for files of its own.
_SHORT = {"-c": "config", "-f": "config", "-e": "env", "-s": "set", "-y": "yes", "-j": "json", "-d": "debug"}
_MAKE = re.compile(r"(?i:(env|config|args)=(.*))", re.DOTALL)


class Command(Value, frozen=True):
    """What a command line asks for.

    Attributes:
        task: its name; empty if invoke is to answer a question.
        given: the values of the flags that were given: a list for a flag that may be repeated.
    """

    task: str
    given: dict[str, bool | str | list[str]]


def read(words: Sequence[str], tasks: Tasks, program: str = "invoke") -> Command:
    """What a command line asks for.

    Args:
        words: the command line without the program's name.
        tasks: the flags of each task.
        program: the name that proposals begin with.

    Raises:
        UserError: the line is no single task with flags of its own; `fix` is what to write instead.
    """
    if not words or words[0] == "--complete":
        return Command("", {})
    reader = _Reader(tasks, program)
    if words[0].startswith("-"):
        reader.check_question(words)
        return Command("", {})
    if words[0] not in tasks:
        raise reader.unknown_task(words)
    return Command(words[0], reader.values(words[0], words[1:]))


class _Reader:
    """Reads the parts of a command line, and words what is wrong with them."""

    def __init__(self, tasks: Tasks, program: str) -> None:
        self.tasks = tasks
        self.program = program

    def values(self, task: str, words: Sequence[str]) -> dict[str, bool | str | list[str]]:
        """The flags that were given to a task."""
        flags = {f"--{flag.name}": flag for flag in self.tasks[task]}
        given: dict[str, bool | str | list[str]] = {}
        repeated = defaultdict[str, list[str]](list)
        unnamed = [flag for flag in self.tasks[task] if flag.positional]
        rest = [word for word in reversed(words) if word not in _HELP]  # which invoke answers
        while rest:
            word = rest.pop()
            name, equals, value = word.partition("=")
            if unnamed and not word.startswith("-"):
                given[unnamed.pop(0).name] = word
                continue
            if name not in flags:
                raise self._unknown(task, words, word)
            flag = flags[name]
            unnamed = [other for other in unnamed if other is not flag]  # a name before it does no harm
            if isinstance(flag.default, bool):
                if equals:
                    raise UserError(f"{name} takes no value", where=word, fix=f"write {name}, or leave it out")
                given[flag.name] = True
                continue
            if not equals and rest and (rest[-1] == "-" or not rest[-1].startswith("-")):
                value = rest.pop()
            self._check_value(flag, value, flags)
            if isinstance(flag.default, tuple):
                repeated[flag.name].append(value)
                given[flag.name] = repeated[flag.name]
            elif flag.name in given:
                raise UserError(f"{name} is given twice", where=name, fix=f"write it once, such as {name} {value}")
            else:
                given[flag.name] = value
        if set(_HELP).isdisjoint(words):
            self._check_unnamed(task, unnamed)
        return given

    def _check_unnamed(self, task: str, missing: Sequence[Flag]) -> None:
        if missing:
            names = [flag.name.upper() for flag in self.tasks[task] if flag.positional]
            fix = f"write: {' '.join([self.program, task, *names])}"
            raise UserError(f"it needs {missing[0].name.upper()}: {missing[0].help}", where=task, fix=fix)

    def _check_value(self, flag: Flag, value: str, flags: Mapping[str, Flag]) -> None:
        name = f"--{flag.name}"
        if not value:
            example = "key=value" if isinstance(flag.default, tuple) else flag.default or "FILE"
            raise UserError("needs a value", where=name, fix=f"write a value after it, such as {name} {example}")
        if value in flags:
            raise UserError(f"{value!r} cannot be a value: it is a flag of this task", where=name)
        if flag.choices and value not in flag.choices:
            close = closest(value, flag.choices)
            message = f"{value!r} is none of its values" + (f", did you mean {close!r}?" if close else "")
            raise UserError(message, where=name, fix=f"choose one of {', '.join(flag.choices)}")

    def check_question(self, words: Sequence[str]) -> None:
        """Let pass what invoke answers without running a task.

        Raises:
            UserError: it is no question, or none that has an answer.
        """
        name, equals, value = words[0].partition("=")
        values = [value, *words[1:]] if equals else list(words[1:])
        if name in _HELP:
            if values and values[0] not in self.tasks:
                raise self.unknown_task(values)
            values = values[1:]
        elif name in ("--version", "-V"):
            pass
        elif name == "--print-completion-script":
            if not values or values[0] not in SHELLS:
                raise UserError(f"{name} needs the name of a shell", fix=f"write one of {', '.join(SHELLS)} after it")
            values = values[1:]
        elif name in _LIST and not {"--list", "-l"}.isdisjoint((name, *words)):
            values = [word for word in values if word.startswith("-") and word.partition("=")[0] not in _LIST]
        else:
            raise self._before_task(words)
        if values:
            raise UserError(
                f"nothing may follow {name}", where=values[0], fix=f"`{self.program} --help` lists the flags"
            )

    def unknown_task(self, words: Sequence[str]) -> UserError:
        """The first word is no task."""
        word = words[0]
        made = _MAKE.fullmatch(word)
        if made:
            task = next((word for word in words if word in self.tasks), "TASK")
            return UserError(
                f"{word!r} is how make takes it",
                fix=f"write: {self._line(task, [] if made[1].lower() == 'args' else [f'--{made[1].lower()}', made[2]])}",
            )
        joined = ".".join(words[:2])
        close = joined if joined in self.tasks else closest(word, self.tasks)
        return UserError(
            f"{word!r} is no task" + (f", did you mean {close!r}?" if close else ""),
            fix=f"`{self.program} --list` names the tasks",
        )

    def _before_task(self, words: Sequence[str]) -> UserError:
        """The line begins with a flag that is no question."""
        name, equals, value = words[0].partition("=")
        task = next((word for word in words if word in self.tasks), None)
        if task is None:
            return self._unknown_flag(name, "", sorted({flag.name for flags in self.tasks.values() for flag in flags}))
        flags = {flag.name: flag for flag in self.tasks[task]}
        flag = flags.get(name[2:] if name.startswith("--") else _SHORT.get(name, ""))
        at = list(words).index(task)
        alone = at == 1 and not equals  # so it was not meant with a value
        if flag is None or (alone and not isinstance(flag.default, bool)):
            return self._meaningless(name, task) or self._unknown_flag(name, task, list(flags))
        value_there = [value] if equals else []
        moved = [f"--{flag.name}", *value_there, *words[1:at], *words[at + 1 :]]
        return UserError("flags belong after the task", where=name, fix=f"write: {self._line(task, moved)}")

    def _unknown(self, task: str, words: Sequence[str], word: str) -> UserError:
        """A word after the task that is none of its flags."""
        name, equals, value = word.partition("=")
        flags = {flag.name: flag for flag in self.tasks[task]}
        if word == "--":
            return UserError("'--' has no meaning here", where=task, fix="leave it out")
        if word.startswith("-"):
            meant = flags.get(_SHORT.get(name, ""))
            if meant is None:
                return self._meaningless(name, task) or self._unknown_flag(name, task, list(flags))
            at = list(words).index(word)
            after = [value] if equals else []
            line = self._line(task, [*words[:at], f"--{meant.name}", *after, *words[at + 1 :]])
            return UserError(f"unknown flag {name!r}, did you mean '--{meant.name}'?", where=task, fix=f"write: {line}")
        if word in self.tasks:
            return self._two_tasks(task, words)
        made = _MAKE.fullmatch(word)
        if made and made[1].lower() in flags:
            fix = f"write: --{made[1].lower()} {shlex.quote(made[2])}"
        elif equals:
            fix = f"write --set before each: --set {shlex.quote(word)}"
        elif word.endswith((".yaml", ".yml")):
            fix = f"write: --config {shlex.quote(word)}"
        else:
            fix = f"a task takes flags only: {self._names(task)}"
        return UserError(f"unexpected {word!r}", where=task, fix=fix)

    def _unknown_flag(self, name: str, task: str, known: Sequence[str]) -> UserError:
        bare = name.lstrip("-")
        close = next((flag for flag in known if len(bare) > 1 and flag.startswith(bare)), None) or closest(bare, known)
        return UserError(
            f"unknown flag {name!r}" + (f", did you mean '--{close}'?" if close else ""),
            where=task or None,
            fix=f"flags of {task}: {self._names(task)}" if task else f"write: {self.program} TASK --flag ...",
        )

    def _meaningless(self, name: str, task: str) -> UserError | None:
        """A flag of invoke's own, which would change nothing or too little."""
        if name in ("--dry", "-R"):
            is_step = any(task in flag.choices for flag in self.tasks.get("plan", ()))
            goal = f" --to {task}" if is_step else ""
            return UserError(
                f"{name} has no meaning here, and nothing was run",
                where=task,
                fix=f"`{self.program} plan{goal}` shows what would run",
            )
        if name in _INVOKES_OWN:
            return UserError(f"{name} is a flag of invoke that has no meaning here", where=task, fix="leave it out")
        return None

    def _two_tasks(self, task: str, words: Sequence[str]) -> UserError:
        """Several tasks on one line, whose flags invoke gives to the one before them."""
        parts: list[tuple[str, list[str]]] = [(task, [])]
        for word in words:
            if word in self.tasks and not self._is_value(parts[-1]):
                parts.append((word, []))
            else:
                parts[-1][1].append(word)
        flagged = [flags for _, flags in parts if flags]
        if len(flagged) == 1:  # meant for each task that knows them
            parts = [(name, self._known(name, flagged[0])) for name, _ in parts]
        lines = " && ".join(self._line(name, flags) for name, flags in parts)
        return UserError("one task at a time: flags would go to one of them", fix=f"write: {lines}")

    def _is_value(self, part: tuple[str, list[str]]) -> bool:
        """Whether the next word is the value of the last flag."""
        task, words = part
        last = words[-1] if words else ""
        return any(last == f"--{flag.name}" and not isinstance(flag.default, bool) for flag in self.tasks[task])

    def _known(self, task: str, words: Sequence[str]) -> list[str]:
        """Those of the words that are flags of a task, with their values."""
        known, found, taken = {f"--{flag.name}" for flag in self.tasks[task]}, list[str](), False
        for word in words:
            if word.startswith("-"):
                taken = word.partition("=")[0] in known
            if taken:
                found.append(word)
        return found

    def _names(self, task: str) -> str:
        return ", ".join(f"--{flag.name}" for flag in self.tasks[task])

    def _line(self, task: str, words: Sequence[str]) -> str:
        return shlex.join([self.program, task, *words])
