"""Rules about the model: where it is, that its revision is a commit, and that its patterns can match."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec.model import COMMIT
from sagepack.spec.rules.secrets import safe
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.spec.rules.view import SpecView

_ID, _REVISION, _PATH = ("model", "id"), ("model", "revision"), ("model", "path")
MISSING = "required key is missing"
_OWN_FOLDER = "put the model's files into a folder of their own"
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_ADDRESS = re.compile(r"(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/([^/\s]+/[^/\s?#]+)")
# Models that once had no owner, by what their names begin with.
_CANONICAL = tuple(
    (owner, re.compile(rf"(?:{names}).*"))
    for owner, names in (
        ("distilbert", "distilbert-|distilgpt2|distilroberta-"),
        ("google-bert", "bert-"),
        ("openai-community", "gpt2|openai-gpt"),
        ("FacebookAI", "roberta-|xlm-"),
        ("google-t5", "t5-"),
        ("albert", "albert-"),
        ("xlnet", "xlnet-"),
        ("almanach", "camembert-"),
    )
)
_SHORT = re.compile(r"[0-9a-f]{7,39}")
_BAD_REF = re.compile(r"[\x00-\x20~^:?*\[\\\x7f]|\.\.|//|@\{|^/|/$|\.lock$|\.$")  # git check-ref-format


def repository_meant(name: str) -> str | None:
    """The repository that somebody means who writes the address of its page, or the name of a model that once had no owner."""
    if address := _ADDRESS.match(name):
        return address[1]
    owner = next((owner for owner, pattern in _CANONICAL if pattern.fullmatch(name)), None)
    return f"{owner}/{name}" if owner else None


def spelling(view: SpecView) -> Iterator[Diagnostic]:
    """What people write for a repository or a commit that is none, with what to write; said before the schema speaks."""
    name, revision = view.text(*_ID), view.number(*_REVISION)
    if name is not None and not _REPOSITORY.fullmatch(name):
        if _is_folder(view, name) and not _ADDRESS.match(name):
            fix = f"write model.path: {name}, without id and revision"
            yield Diagnostic(_ID, f"{safe(_ID, name)} is a folder", fix)
        elif meant := repository_meant(name):
            what = "is the address of a page" if _ADDRESS.match(name) else "has no owner"
            yield Diagnostic(_ID, f"{safe(_ID, name)} {what}", f"write {meant}")
    if revision is not None and (isinstance(revision, float) or abs(revision) < 10**39):
        message = "this is not a commit: a shortened one, perhaps, which YAML reads as a number"
        yield Diagnostic(_REVISION, message, "give all 40 digits, in quotes if there is no letter among them")


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check where the model is, `model.revision`, the folder, and the patterns of paths."""
    yield from _source(view)
    yield from _revision(view)
    yield from _folder(view)
    for key in ("include", "exclude"):
        for number, pattern in enumerate(view.texts("model", key)):
            if pattern.startswith("/") or "\\" in pattern or ".." in pattern.split("/"):
                message = f"{pattern!r} matches nothing: paths of a repository are relative, with / between folders"
                yield Diagnostic(("model", key, number), message)


def _source(view: SpecView) -> Iterator[Diagnostic]:
    """The model is in a repository or in a folder."""
    has_id, has_revision, has_path = (view.get(*path) is not None for path in (_ID, _REVISION, _PATH))
    if has_path and has_id:
        fix = "remove one of them; null in an overlay removes a key"
        yield Diagnostic(_PATH, "the model cannot be both a folder and a repository (model.id)", fix)
    elif has_path and has_revision:
        yield Diagnostic(_REVISION, "a folder has no revision", "remove it; null in an overlay removes a key")
    elif not has_path and not has_id:
        fix = (
            "name a repository of the Hub (model.id and model.revision), or a folder that holds the files (model.path)"
        )
        yield Diagnostic(_ID, MISSING, fix)
    elif not has_path and not has_revision:
        fix = "set it to a commit; with `revision: main`, `invoke lock --pin` writes the commit of today in its place"
        yield Diagnostic(_REVISION, MISSING, fix)
    elif not has_path and (name := view.text(*_ID)) and _REPOSITORY.fullmatch(name) and _is_folder(view, name):
        fix = f"if the folder is meant, write model.path: {name}, without id and revision"
        message = f"{safe(_ID, name)} is taken as a repository of the Hub, and there is a folder of this name"
        yield Diagnostic(_ID, message, fix, severity="warning")


def _folder(view: SpecView) -> Iterator[Diagnostic]:
    """The folder is one, and does not hold what builds write."""
    name = view.text(*_PATH)
    if not name:
        return
    folder, root = view.root / name, view.root.resolve()
    if name.startswith("~"):
        yield Diagnostic(_PATH, f"{name!r}: ~ is not expanded", "write the path in full, or relative to the project")
    elif folder.exists() and not folder.is_dir():
        fix = "give the folder that holds it; model.include chooses files of it"
        yield Diagnostic(_PATH, f"{name!r} is a file, not a folder", fix)
    elif not folder.is_dir():
        siblings = [path.name for path in folder.parent.glob("*") if path.is_dir()]
        fix = did_you_mean(folder.name, siblings) or "builds go on only where S3 has all of the locked files already"
        message = f"{name!r} is not on this machine"
        yield Diagnostic(_PATH, message, fix, severity="warning")
    elif root.is_relative_to(folder.resolve()):
        yield Diagnostic(_PATH, f"{name!r} holds the project itself", _OWN_FOLDER)
    elif code := next(
        (code for code in _code_folders(view) if _overlap(folder.resolve(), (root / code).resolve())), None
    ):
        message = f"{name!r} and the inference code in {code!r} lie in each other: files would be packaged twice"
        yield Diagnostic(_PATH, message, _OWN_FOLDER)


def _code_folders(view: SpecView) -> list[str]:
    return [code for code in (view.text("code", "path"), *view.texts("code", "shared")) if code]


def _overlap(one: Path, other: Path) -> bool:
    return one.is_relative_to(other) or other.is_relative_to(one)


def _is_folder(view: SpecView, name: str) -> bool:
    return (view.root / name).is_dir()


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
        what, fix = (
            "is a branch or a tag, which can change",
            "`invoke lock --pin` writes its commit of today in its place",
        )
        if _SHORT.fullmatch(revision):
            what, fix = "looks like a shortened commit", "give all 40 digits"
        yield Diagnostic(_REVISION, f"{value} {what}; a build requires a commit of 40 hex digits", fix)
