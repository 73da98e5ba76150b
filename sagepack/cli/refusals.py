"""Words what is wrong with a command line, and what to write instead."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from sagepack.errors import UserError
from sagepack.text import closest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.cli.task import Flag

    Tasks = Mapping[str, Sequence[Flag]]  # the flags of each task, by its name

# Flags of invoke that change how it runs commands of a shell, or where it looks for tasks; no task here has use for them.
_INVOKES_OWN = {
    *("--echo", "-e", "--hide", "--pty", "-p", "--warn-only", "-w", "--command-timeout", "-T", "--collection"),
    *("--search-root", "-r", "--no-dedupe", "--prompt-for-sudo-password", "--write-pyc"),
}
# What people type for a flag. `-f` and `-c` are invoke's names for files of its own.
_SHORT = {"-c": "config", "-f": "config", "-e": "env", "-s": "set", "-y": "yes", "-j": "json", "-d": "debug"}
# Flags of one spec, and what takes their place where a task is about many.
_OF_A_FLEET = {"config": "select", "c": "select", "f": "select", "env": "envs", "e": "envs"}
# What people type to see what would be done; the first two are invoke's.
_DRY = {"--dry", "-R", "--dry-run", "-n"}
_ASKED = {
    "help": "--help",
    "list": "--list",
    "tasks": "--list",
    "version": "--version",
    "completion": "--print-completion-script",
}
_MAKE = re.compile(r"(?i:(env|config|args)=(.*))", re.DOTALL)


class Refusals:
    """The errors of command lines; each method makes one, and raises none."""

    def __init__(self, tasks: Tasks, program: str) -> None:
        self.tasks = tasks
        self.program = program

    def misplaced(self, name: str, word: str) -> UserError:
        """A word after a question that takes no more."""
        return UserError(f"nothing may follow {name}", where=word, fix=f"`{self.program} --list` names the tasks")

    def no_value(self, flag: Flag) -> UserError:
        """The flag needs a value and has none, or an empty one."""
        example = flag.default if flag.default and isinstance(flag.default, (str, int)) else flag.value_name
        fix = f"write a value after it, such as --{flag.name} {example}"
        return UserError("needs a value", where=f"--{flag.name}", fix=fix)

    def missing(self, task: str, flag: Flag) -> UserError:
        """A word that the task cannot do without."""
        required = [one for one in self.tasks[task] if one.is_required]
        typed = " ".join(one.choices[0] if one.choices else one.value_name for one in required)
        choices = f", one of {', '.join(flag.choices)}" if flag.choices else ""
        return UserError(
            f"{flag.value_name} is missing{choices}", where=task, fix=f"write: {self.program} {task} {typed}"
        )

    def no_choice(self, flag: Flag, value: str) -> UserError:
        """The flag takes one of a few values, and this is another."""
        close = closest(value, flag.choices)
        message = f"{value!r} is none of its values" + (f", did you mean {close!r}?" if close else "")
        where = flag.place if flag.positional else f"--{flag.name}"
        return UserError(message, where=where, fix=f"choose one of {', '.join(flag.choices)}")

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
        if word in _ASKED:
            asked = shlex.join([self.program, _ASKED[word], *words[1:]])
            return UserError(f"{word!r} is no task, did you mean '{_ASKED[word]}'?", fix=f"write: {asked}")
        group = [task for task in self.tasks if task.startswith(f"{word}.")]
        close = self._meant(words)
        return UserError(
            f"{word!r} is no task" + (f", did you mean {close!r}?" if close else ""),
            fix=f"its tasks are {', '.join(group)}" if group else f"`{self.program} --list` names the tasks",
        )

    def _meant(self, words: Sequence[str]) -> str | None:
        """The task that was probably meant: of a group, typed as two words or without its group, or mistyped."""
        joined = ".".join(words[:2])
        if joined in self.tasks or any(task.startswith(f"{words[0]}.") for task in self.tasks):
            return joined if joined in self.tasks else None
        within = next((task for task in self.tasks if task.endswith(f".{words[0]}")), None)
        return within or closest(words[0], self.tasks)

    def before_task(self, words: Sequence[str]) -> UserError:
        """The line begins with a flag that is no question."""
        name, equals, value = words[0].partition("=")
        task = next((word for word in words if word in self.tasks), None)
        if task is None:
            known = sorted({flag.name for flags in self.tasks.values() for flag in flags})
            if name.removeprefix("--") not in known:
                return self._unknown_flag(name, "", known)
            fix = f"write: {self.program} TASK {shlex.join(words)}; `{self.program} --list` names the tasks"
            return UserError("no task is named", where=name, fix=fix)
        flags = {flag.name: flag for flag in self.tasks[task]}
        flag = flags.get(name[2:] if name.startswith("--") else _SHORT.get(name, ""))
        at = list(words).index(task)
        is_switch = flag is not None and isinstance(flag.default, bool)
        has_no_value = at == 1 and not equals and not is_switch
        if flag is None or (has_no_value and not name.startswith("--")):  # `-e deploy` is invoke's --echo
            return self._meaningless(name, task) or self._unknown_flag(name, task, list(flags))
        given = [] if is_switch else [value] if equals else [flag.value_name] if has_no_value else []
        moved = [f"--{flag.name}", *given, *words[1:at], *words[at + 1 :]]
        return UserError("flags belong after the task", where=name, fix=f"write: {self._line(task, moved)}")

    def unknown_word(self, task: str, words: Sequence[str], word: str) -> UserError:
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
        elif word.endswith((".yaml", ".yml")) and "select" in flags:
            fix = "if a shell has made several words of one pattern, quote it: --select 'config/*.yaml'"
        elif word.endswith((".yaml", ".yml")):
            fix = f"write: --config {shlex.quote(word)}"
        elif word.isdigit() and (
            release := next((flag for flag in flags.values() if flag.placeholder == "RELEASE"), None)
        ):
            fix = f"write: --{release.name} {word}"
        else:
            places = " ".join(flag.place for flag in self.tasks[task] if flag.positional)
            fix = f"it takes {places} and flags" if places else f"a task takes flags only: {self._names(task)}"
        return UserError(f"unexpected {word!r}", where=task, fix=fix)

    def _unknown_flag(self, name: str, task: str, known: Sequence[str]) -> UserError:
        bare = name.lstrip("-")
        if bare in _OF_A_FLEET and _OF_A_FLEET[bare] in known:
            meant = _OF_A_FLEET[bare]
            return UserError(f"unknown flag {name!r}, did you mean '--{meant}'?", where=task)
        close = next((flag for flag in known if len(bare) > 1 and flag.startswith(bare)), None) or closest(bare, known)
        return UserError(
            f"unknown flag {name!r}" + (f", did you mean '--{close}'?" if close else ""),
            where=task or None,
            fix=f"flags of {task}: {self._names(task)}" if task else f"write: {self.program} TASK --flag ...",
        )

    def _meaningless(self, name: str, task: str) -> UserError | None:
        """A flag of invoke's own, which would change nothing or too little."""
        if name in _DRY:
            is_step = any(task in flag.choices for flag in self.tasks.get("plan", ()))
            shows = f"plan --to {task}" if is_step else "plan"
            if any(flag.name == "dry-run" for flag in self.tasks[task]):
                shows = f"{task} --dry-run"
            return UserError(
                f"{name} has no meaning here, and nothing was run",
                where=task,
                fix=f"`{self.program} {shows}` shows what would be done",
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
        return ", ".join(f"--{flag.name}" for flag in self.tasks[task] if not flag.positional)

    def _line(self, task: str, words: Sequence[str]) -> str:
        return shlex.join([self.program, task, *words])
