"""What may come next on a command line, for the completion of a shell: tasks, flags and their values.

A shell calls `PROGRAM --complete -- LINE` with the line up to the cursor. The answers, one a line, are what may stand
there for the word at the cursor; of a word with "=" only for what comes after the last one, which is where bash splits it.
The scripts that invoke prints for itself work as well: they give the words of the line one by one, without the empty last.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.aws import service_model
from sagepack.cli.command_line import SHELLS
from sagepack.spec import images
from sagepack.spec.model import KEYS
from sagepack.spec.validate import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.cli.refusals import Tasks
    from sagepack.cli.task import Flag
    from sagepack.spec.keys import Key

_SCRIPTS = Path(__file__).parent / "completions"
_QUESTIONS = ("--help", "--list", "--print-completion-script", "--version")
_OPEN = ("", '"', "'")  # what closes the line, if a quote is open


def script(shell: str) -> str:
    """What one of `SHELLS` must read for completion."""
    return (_SCRIPTS / shell).read_text(encoding="utf-8")


def candidates(words: Sequence[str], tasks: Tasks, root: Path) -> list[str]:
    """What may stand at the end of a command line.

    Args:
        words: what a shell gave after `--complete --`.
        tasks: the flags of each task.
        root: the project's folder.
    """
    *before, current = _split(words, tasks)
    typed = current.rpartition("=")[2]
    return [found for found in _all(before[1:], current, tasks, root) if found.startswith(typed)]


def _all(before: Sequence[str], current: str, tasks: Tasks, root: Path) -> Sequence[str]:
    """What may stand for the word `current`, whatever it begins with."""
    task = next((word for word in before if word in tasks), None)
    last = before[-1] if before else ""
    if task is None or last == "--help":
        if last == "--print-completion-script":
            return SHELLS
        return _QUESTIONS if current.startswith("-") else sorted(tasks)
    takes_value = {f"--{flag.name}": flag for flag in tasks[task] if not isinstance(flag.default, bool)}
    if last in takes_value:
        return _values(takes_value[last], current, root)
    name, equals, value = current.partition("=")
    if equals:
        return _values(takes_value[name], value, root) if name in takes_value else ()
    given = {word.partition("=")[0] for word in before}
    offered = [flag for flag in tasks[task] if isinstance(flag.default, tuple) or f"--{flag.name}" not in given]
    free = _free_places(before[before.index(task) + 1 :], tasks[task])
    return [
        *(_values(free[0], current, root) if free else ()),
        *(f"--{flag.name}" for flag in offered if not flag.positional),
    ]


def _free_places(words: Sequence[str], flags: Sequence[Flag]) -> list[Flag]:
    """The places of a task that the words after it leave empty."""
    takes_value = {f"--{flag.name}" for flag in flags if not isinstance(flag.default, bool)}
    filled = [
        word for last, word in zip(("", *words), words, strict=False) if word[:1] != "-" and last not in takes_value
    ]
    return [flag for flag in flags if flag.positional][len(filled) :]


def _values(flag: Flag, typed: str, root: Path) -> Sequence[str]:
    """The values of a flag; none where a shell's own completion, files, is what helps."""
    if flag.choices:
        return flag.choices
    if flag.name in {"before", "after"}:
        return ("live", "tree")
    if flag.name in {"env", "from-env", "to-env", "envs"}:
        before = typed[: typed.rfind(",") + 1] if flag.name == "envs" else ""
        return sorted(f"{before}{path.stem}" for path in (root / "config" / "env").glob("*.yaml"))
    if flag.name in {"config", "select"}:
        return sorted(path.relative_to(root).as_posix() for path in (root / "config").glob("*.yaml"))
    if flag.name == "set":
        name, equals, _ = typed.partition("=")
        return _settings(name) if equals else [_shown(key) for key in KEYS]
    return ()


def _shown(key: Key) -> str:
    """A key as `--set` takes it; the entries of a map have names of their own."""
    return f"{'.'.join(key.path)}{'.' if key.value_type == dict[str, str] else '='}"


def _settings(name: str) -> Sequence[str]:
    """The values that a key of the spec may have, if that is a list."""
    key = next((key for key in KEYS if ".".join(key.path) == name), None)
    if key is None:
        return ()
    if name == "image.tag":
        return images.known_tags()
    if name == "aws.region":
        return images.regions()
    if key.value_type is bool:
        return ("false", "true")
    section, *path = key.path
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"][section]
    for step in path:
        schema = schema.get("properties", {}).get(step, {})
    enum = schema.get("enum") or (service_model.shape(*key.facts.member).enum if key.facts.member else ())
    return sorted(value for value in enum if value is not None)


def _split(words: Sequence[str], tasks: Tasks) -> list[str]:
    """The words of the line, the one at the cursor last: it may be empty."""
    if len(words) == 1 and " " in words[0]:
        return _words(words[0])
    # From a script of invoke: a whole word at the end may or may not have a blank after it; bash splits at "=".
    line = " ".join(words).replace(" =", "=").replace("= ", "=")
    last = words[-1] if words else ""
    takes_value = {f"--{f.name}" for flags in tasks.values() for f in flags if not isinstance(f.default, bool)}
    return _words(f"{line} " if len(words) == 1 or last in takes_value or last in tasks else line)


def _words(line: str) -> list[str]:
    for end in _OPEN:
        try:
            words = shlex.split(line + end)
        except ValueError:
            continue
        return words if words and not (end == "" and line[-1:].isspace()) else [*words, ""]
    return line.split(" ")
