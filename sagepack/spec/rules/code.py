"""Rules about the files of the project: the folder of inference code and the sample request."""

from __future__ import annotations

import posixpath
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sagepack import json_schema
from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import Diagnostic
from sagepack.spec import code_tree, image_modules, images
from sagepack.spec.declared import REQUEST_SCHEMA, Declared
from sagepack.spec.inspection import Inspection
from sagepack.spec.program.check import Target, is_offline
from sagepack.spec.program.check import check as check_program
from sagepack.spec.secrets import texts
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

_PATH = ("code", "path")
MAX_REQUEST = 10**9  # bytes of an asynchronous request (SageMaker developer guide, "Asynchronous inference")
_INTO_PROJECT = "move it into the project, and write its path from there"


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check what is on disk; with `view.contents`, also what is in the files."""
    yield from _folder(view)
    yield from _sample(view)
    yield from _expectation(view)
    if view.contents:
        yield from _file_contents(view)
        yield from _declared_fields(view)


def _folder(view: SpecView) -> Iterator[Diagnostic]:
    name = view.text(*_PATH)
    if name is not None and (problem := _problem_of_folder(view, name)):
        yield Diagnostic(_PATH, *problem)
    elif name is not None:
        yield from _program(view, view.root / name)
        yield from _contents(view, view.root / name, _PATH)
    for number, shared in enumerate(view.texts("code", "shared")):
        path = ("code", "shared", number)
        if shared and (problem := _problem_of_folder(view, shared)):
            yield Diagnostic(path, *problem)
        elif shared:
            yield from _contents(view, view.root / shared, path)


def _problem_of_folder(view: SpecView, name: str) -> tuple[str, str | None] | None:
    """Why no code can be taken from a folder, and the fix; None if it can."""
    folder = view.root / name
    if problem := _outside(folder, view.root):
        return f"{name!r} {problem}", _INTO_PROJECT
    if folder.is_dir():
        return None
    siblings = [path.relative_to(view.root).as_posix() for path in folder.parent.glob("*") if path.is_dir()]
    what = "is a file, not a folder" if folder.is_file() else "does not exist"
    fix = did_you_mean(name, siblings) or (f"folders there: {one_of(sorted(siblings))}" if siblings else None)
    return f"{name!r} {what}", fix


def _program(view: SpecView, folder: Path) -> Iterator[Diagnostic]:
    name = _program_name(view)
    if not name.endswith(".py") or "/" in name:
        yield Diagnostic(
            ("environment", "SAGEMAKER_PROGRAM"),
            f"{name!r} is not the name of a file at the top of the code, such as inference.py",
        )
    elif not (folder / name).is_file():
        scripts = [path.name for path in folder.glob("*.py")]
        fix = did_you_mean(name, scripts) or "create it, or name another file in environment.SAGEMAKER_PROGRAM"
        yield Diagnostic(_PATH, f"{folder.name!r} contains no {name}: the container would run without your code", fix)


def _program_name(view: SpecView) -> str:
    """The file, at the top of the code, whose hooks the server calls."""
    return view.text("environment", "SAGEMAKER_PROGRAM") or "inference.py"


def _contents(view: SpecView, folder: Path, key: KeyPath) -> Iterator[Diagnostic]:
    """What must not be at the top of `code/`, whichever of its folders it comes from."""
    if (folder / "__init__.py").exists():
        message = "makes code/ a package that shadows the module code of Python's standard library, which pdb imports"
        yield Diagnostic(key, message, "remove it", location=_shown(view, folder / "__init__.py"))
    tag = images.parse_tag(view.text("image", "tag") or "")
    python = tag.python if tag else sys.version_info[:2]
    for path in sorted(folder.glob("*")):
        is_module = path.suffix == ".py" or (path / "__init__.py").exists()
        if is_module and image_modules.in_python(path.stem, python):
            message = f"hides the module {path.stem} of Python's standard library in the whole container"
            yield Diagnostic(key, message, "rename it", location=_shown(view, path))
    yield from _requirements_file(view, folder, key)


def _shown(view: SpecView, path: Path) -> str:
    """A file of the project as messages name it."""
    return posixpath.normpath(path.relative_to(view.root).as_posix())


def _requirements_file(view: SpecView, folder: Path, key: KeyPath) -> Iterator[Diagnostic]:
    """A requirements.txt in the code: the container installs it at every start, without hashes or pins from the lock."""
    if not (folder / "requirements.txt").exists():
        return
    if view.get("endpoint", "enable_network_isolation") is True:
        message = (
            f"{folder.name}/requirements.txt cannot be installed in an isolated container, which then does not start"
        )
        yield Diagnostic(("endpoint", "enable_network_isolation"), message, "remove the file or the isolation")
    if not view.texts("code", "requirements"):
        message = f"{folder.name}/requirements.txt is installed at every start and is not locked"
        yield Diagnostic(key, message, "list its packages, pinned, under code.requirements instead", severity="warning")
    else:
        message = "requirements are listed here and in requirements.txt of the code; a package has one list"
        yield Diagnostic(("code", "requirements"), message, "keep this list, which is locked, and remove the file")


def _sample(view: SpecView) -> Iterator[Diagnostic]:
    sample, name, key = view.get("sample"), view.text("sample", "file"), ("sample", "file")
    if not isinstance(sample, dict):
        return
    if ("request" in sample) == ("file" in sample):
        have = "both are set" if "request" in sample else "neither is set"
        yield Diagnostic(("sample",), f"set one of request and file; {have}")
    elif name is not None:
        path = view.root / name
        if problem := _outside(path, view.root):
            yield Diagnostic(key, f"{name!r} {problem}", _INTO_PROJECT)
        elif not path.is_file():
            siblings = [other.relative_to(view.root).as_posix() for other in path.parent.glob("*") if other.is_file()]
            yield Diagnostic(key, f"{name!r} does not exist", did_you_mean(name, siblings))
        elif (size := path.stat().st_size) > MAX_REQUEST:
            yield Diagnostic(key, f"{name!r} has {size:,} bytes, a request at most {MAX_REQUEST:,}")
        elif (view.text("sample", "content_type") or "application/json") == "application/json":
            try:
                decode_json(path.read_bytes(), Any, limit=MAX_REQUEST)
            except MalformedError as error:
                yield Diagnostic(key, f"{name!r} is not JSON: {error}", "correct it, or set sample.content_type")


def _expectation(view: SpecView) -> Iterator[Diagnostic]:
    """What the answer to the sample must be: a schema that can be read, and nothing that contradicts another part."""
    key = ("sample", "expect", "schema")
    declared, kind = view.get(*key), view.text("sample", "expect", "content_type")
    for name in ("schema", "min_items"):
        if view.get("sample", "expect", name) is not None and kind not in (None, "application/json"):
            message = f"is about JSON, but sample.expect.content_type is {kind}"
            yield Diagnostic(("sample", "expect", name), message, "remove one of the two")
    if isinstance(declared, str) and (problem := _outside(view.root / declared, view.root)):
        yield Diagnostic(key, f"{declared!r} {problem}", _INTO_PROJECT)
    elif isinstance(declared, (str, dict)):
        try:
            json_schema.Schema.read(view.root / declared) if isinstance(declared, str) else json_schema.Schema(declared)
        except MalformedError as error:
            what = f"{declared!r} is" if isinstance(declared, str) else "this is"
            yield Diagnostic(key, f"{what} not a JSON Schema for answers: {error}", "correct it")


def _file_contents(view: SpecView) -> Iterator[Diagnostic]:
    """What is in the files: secrets, and what cannot be packaged."""
    sample, allowed = view.text("sample", "file"), view.texts("not_secret")
    inspection = Inspection(texts, allowed)
    names = [view.text(*_PATH) or "", *view.texts("code", "shared")]
    folders = [name for name in names if name and not _problem_of_folder(view, name)]
    # No requirements: `_requirements_file` already reports a second list of them.
    packaged = code_tree.scan(view.root, folders, {}, inspection)
    # Nobody needs a warning about what tools leave behind.
    if excluded := {path: what for path, what in packaged.excluded.items() if what != code_tree.LEFT_BY_TOOLS}:
        yield Diagnostic(_PATH, f"of the code is {code_tree.describe_excluded(excluded)}", severity="warning")
    if sample and not _outside(view.root / sample, view.root) and (view.root / sample).is_file():
        inspection.read_sample(view.root / sample, posixpath.normpath(sample))
    is_known = view.text("image", "repository") == images.repository()
    target = Target(
        program=_program_name(view),
        tag=(view.text("image", "tag") or "") if is_known else "",
        requirements=tuple(filter(None, view.texts("code", "requirements"))) if view.installed is None else (),
        modules=view.installed or (),
        is_isolated=view.get("endpoint", "enable_network_isolation") is True,
        is_offline=is_offline(view.get("environment", "HF_HUB_OFFLINE")),
        model=view.text("model", "id") or "",
    )
    yield from (replace(found, path=_PATH) for found in check_program(packaged.files, view.root, target))
    yield from (replace(found, path=_PATH) for found in inspection.diagnostics)
    for number, name in enumerate(allowed):
        if not (view.root / name).exists():
            yield Diagnostic(
                ("not_secret", number), f"{name!r} does not exist", "remove it from the list", severity="warning"
            )


def _declared_fields(view: SpecView) -> Iterator[Diagnostic]:
    """What the schema of the requests, beside the program, says about the sample."""
    name, sample = view.text(*_PATH), view.text("sample", "file")
    schema = view.root / (name or "") / REQUEST_SCHEMA
    is_json = (view.text("sample", "content_type") or "application/json") == "application/json"
    if not name or _problem_of_folder(view, name) or not schema.is_file():
        return
    where = schema.relative_to(view.root).as_posix()
    try:
        declared = json_schema.Schema.read(schema)
    except MalformedError as error:
        yield Diagnostic(_PATH, f"not a JSON Schema of requests: {error}", "correct it", location=where)
        return
    yield from _declared_media_types(view, schema, where)
    try:
        if sample and not _outside(view.root / sample, view.root) and is_json:
            request = decode_json((view.root / sample).read_bytes(), Any, limit=MAX_REQUEST)
        else:
            sample, request = None, view.get("sample", "request")
    except (OSError, MalformedError):
        return  # told elsewhere
    for found in [] if request is None else declared.problems(request):
        place = f"{found.place}: " if sample and found.place else ""
        path = ("sample", "file") if sample else ("sample", "request", *found.path)
        fix = found.fix or f"{where} declares what the handler takes"
        yield Diagnostic(path, f"{place}{found.message}", fix, location=sample or "")


def _declared_media_types(view: SpecView, schema: Path, where: str) -> Iterator[Diagnostic]:
    """What the handler declares about the media types of the sample and of its answer."""
    try:
        handler = Declared.read(schema)
    except MalformedError as error:
        fix = 'write lists of media types, such as "x-accept": ["application/json"]'
        yield Diagnostic(_PATH, f"what it says of media types is wrong: {error}", fix, location=where)
        return
    accept, content_type = view.text("sample", "accept"), view.text("sample", "content_type")
    if accept and not handler.answers_with(accept):
        message = f"the handler has no answer of the type {accept}"
        yield Diagnostic(("sample", "accept"), message, f"{where} declares {', '.join(handler.accept)}")
    if content_type and not handler.takes(content_type):
        message = f"the handler takes no request of the type {content_type}"
        yield Diagnostic(("sample", "content_type"), message, f"{where} declares {', '.join(handler.content_types)}")


def _outside(path: Path, root: Path) -> str | None:
    """Why `path`, with links resolved, is not usable; None if it is inside `root`."""
    try:
        inside = path.resolve().is_relative_to(root.resolve())
    except (OSError, ValueError, RuntimeError):  # a null character, or a loop of links
        return "is not a valid path"
    return None if inside else "is outside of the project"
