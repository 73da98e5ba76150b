"""Rules about the model: its revision is a commit, and its patterns can match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec.model import COMMIT
from sagepack.spec.rules.secrets import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import SpecView

_REVISION = ("model", "revision")
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_BAD_REF = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|//|@\{|^/|/$|\.lock$|\.$")  # git check-ref-format


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `model.revision` and the patterns of paths."""
    yield from _revision(view)
    for key in ("include", "exclude"):
        for number, pattern in enumerate(view.texts("model", key)):
            if pattern.startswith("/") or "\\" in pattern or ".." in pattern.split("/"):
                message = f"{pattern!r} matches nothing: paths of a repository are relative, with / between folders"
                yield Diagnostic(("model", key, number), message)


def _revision(view: SpecView) -> Iterator[Diagnostic]:
    revision = view.text(*_REVISION)
    if revision is None or COMMIT.fullmatch(revision):
        return
    value = safe(_REVISION, revision)
    if COMMIT.fullmatch(revision.lower()):
        yield Diagnostic(_REVISION, f"{value} is a commit in upper case", f"write {revision.lower()}")
    elif _BAD_REF.search(revision):
        yield Diagnostic(_REVISION, f"{value} is not a valid name of a commit, branch or tag")
    elif not view.branch_allowed:
        what = (
            "looks like a shortened commit" if _SHORT.fullmatch(revision) else "is a branch or a tag, which can change"
        )
        yield Diagnostic(
            _REVISION,
            f"{value} {what}; a build requires a commit of 40 hex digits",
            "run `invoke lock`, and set model.revision to the commit that it prints",
        )
