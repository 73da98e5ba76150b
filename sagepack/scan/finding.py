"""What is wrong with a file of a model, where in it, and what to do about it."""

from __future__ import annotations

import glob
import json
from enum import Enum

from sagepack.decoding import Value
from sagepack.scan.callables import PROGRAMS, can_be_allowed, is_class, word
from sagepack.scan.commands import runs_anything
from sagepack.text import printable

_SHOWN = 5
_LONGEST = 120  # characters of a name that a file holds


class Kind(Enum):
    """What a finding is about; the value is its name in documents."""

    CALLS = "calls"  # a pickle names callables that are not known to be harmless
    CODE = "code"  # a configuration makes a loader run Python files of the model
    FOREIGN_CODE = "foreign-code"  # the same, of another repository, which nothing pins
    PROGRAM = "program"  # machine code
    CONTAINER = "container"  # an archive that is not looked into
    UNREADABLE = "unreadable"  # nobody can say what loading it does
    MALFORMED = "malformed"  # not what a program that writes this format writes
    HUB = "hub"  # the Hub's own scan


_FIXES = {
    Kind.CALLS: "{exclude}, or use safetensors",
    Kind.CODE: "read that code, then write trust.remote_code: allow; if the handler does not need it, "
    "leave the code out with model.exclude",
    Kind.FOREIGN_CODE: "take a revision that brings the code itself, or the model into a folder (model.path) with that code "
    "and its own file named there; if the handler passes no trust_remote_code, trust.scan: warn goes on",
    Kind.PROGRAM: "{exclude}",
    Kind.CONTAINER: "{exclude}, or unpack it into a folder of the model (model.path)",
    Kind.UNREADABLE: "{exclude}, or use safetensors",
    Kind.MALFORMED: "take the file from its publisher again: another revision, or another repository; do not load this one",
    Kind.HUB: "see the file's page on the Hub; {exclude}, or take another revision",
}


class Finding(Value, frozen=True):
    """One thing that is wrong with a file.

    Attributes:
        path: path of the file in the model.
        kind: what it is about.
        what: what is wrong, a sentence whose subject is the file; empty where the names say it.
        at: where in the file: a byte, a tensor, a member of an archive; empty for all of it.
        names: for `calls` the callables, which `trust.allow` may name; for `code` the files of the model that would be run.
    """

    path: str
    kind: Kind
    what: str
    at: str = ""
    names: tuple[str, ...] = ()

    @property
    def message(self) -> str:
        """What is wrong, and where, on one line."""
        names = ", ".join(self.names[:_SHOWN]) + (f" and {len(self.names) - _SHOWN} more" * (len(self.names) > _SHOWN))
        what = self.what or f"would call {names} when loaded"
        return f"{what} ({self.at})" if self.at else what

    @property
    def fix(self) -> str:
        """What the user can do, with the words of a spec that do it."""
        fix = _FIXES[self.kind].format(exclude=f"exclude it (model.exclude: [{json.dumps(glob.escape(self.path))}])")
        if self.kind is not Kind.CALLS:
            return fix
        if runs := next(filter(runs_anything, self.names), None):
            return f"{fix}; {runs} runs any command that the file says, so trust.allow does not take it"
        if not all(map(can_be_allowed, self.names)):
            return fix
        words = dict.fromkeys(map(word, self.names))
        listed = ", ".join(words)
        if words.keys() <= PROGRAMS:
            return f"{fix}; if you trust its publisher, let this program run (trust.allow: [{listed}])"
        if all(map(is_class, self.names)):
            return f"{fix}; if you trust its publisher, allow these classes (trust.allow: [{listed}])"
        return f"{fix}; trust.allow takes {listed}, but look first what these do with values that the file chooses"

    @property
    def is_damage(self) -> bool:
        """Whether the bytes themselves are wrong, whatever the user permits."""
        return self.kind is Kind.MALFORMED


class RefusedError(Exception):
    """A file that is not looked at any further, and why."""

    def __init__(self, kind: Kind, what: str, at: str = "") -> None:
        super().__init__(what)
        self.kind, self.what, self.at = kind, what, at

    def finding(self, path: str) -> Finding:
        """It as a finding about the file at `path`."""
        return Finding(path, self.kind, self.what, self.at)


def shown(name: object) -> str:
    """A name that stands in a file, fit for a message: on one line, and short."""
    text = printable(str(name)[: _LONGEST + 1])
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
