"""What people read of a result: its lines, one function for each kind."""

from __future__ import annotations

import json
import shlex
import shutil
from functools import singledispatch
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.text import format_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.deploy.preflight.check import Check
    from sagepack.engine.plan import Action, Content


@singledispatch
def lines(result: object) -> list[str]:
    """The lines of a result, for stdout."""
    raise TypeError(type(result))


@lines.register
def _validated(result: results.Validated) -> list[str]:
    return [f"{result.config} is valid for {result.env}"]


@lines.register
def _initialized(result: results.Initialized) -> list[str]:
    shown = [f"wrote {path}" for path in result.files]
    shown += ["", f"The model is for {result.task}. Assumed, to be changed in {result.spec}:"]
    shown += [f"  {note}" for note in result.assumptions]
    return [*shown, "", "Next:", *(f"  {command}" for command in result.next)]


@lines.register
def _locked(result: results.Locked) -> list[str]:
    how = "written" if result.changed else "is as it was"
    origin = result.folder or f"{result.repo} at {result.commit}"
    return [f"{result.path} {how}: {origin}"]


@lines.register
def _plan(result: results.Plan) -> list[str]:
    shown = table(result.actions)
    return shown if result.contents is None else [*shown, "", *contents_table(result.contents)]


@lines.register
def _built(result: results.Built) -> list[str]:
    done = [action.step for action in result.actions if action.runs]
    shown = [", ".join(done)] if done else [*table(result.actions), "nothing to do"]
    if result.manifest:
        shown.append(f"manifest: {result.manifest}")
    if archive := result.archive:
        shown.append(f"archive: {archive.path}")
        shown.append(f"size: {archive.size} bytes ({format_bytes(archive.size)})")
        shown.append(f"sha256: {archive.sha256}")
    if result.artifact:
        shown.append(f"artifact: {result.artifact.uri}")
    if result.endpoint:
        shown.append(f"endpoint: {result.endpoint.name}")
    return shown


@lines.register
def _verified(result: results.Verified) -> list[str]:
    archive = result.archive
    how = "is as its manifest says, and a rebuild gave the same bytes" if result.rebuilt else "is as its manifest says"
    return [f"{archive.path} {how}: {result.files} files, {format_bytes(archive.size)}, sha256 {archive.sha256}"]


@lines.register
def _verified_remote(result: results.VerifiedRemote) -> list[str]:
    how = "records, checksums and ETags agree; the model was not read"
    return [
        f"{result.artifact}: {'every byte is what the manifest says' if result.deep else how}",
        f"{result.files} files, {format_bytes(result.size)}, released as {result.release}",
        f"{result.requests} requests, {format_bytes(result.bytes_read)} read",
        *(f"not compared: {note}" for note in result.not_compared),
    ]


@lines.register
def _answer(result: results.Answer) -> list[str]:
    return list(result.files)


@lines.register
def _destroyed(result: results.Destroyed) -> list[str]:
    if not result.removed:
        return [f"nothing to do: endpoint {result.endpoint} and its parts do not exist"]
    return [f"removed {len(result.removed)} resources; published packages stay under {result.kept}"]


@lines.register
def _cleaned(result: results.Cleaned) -> list[str]:
    return [f"removed {', '.join(result.removed)}" if result.removed else "nothing to remove"]


@lines.register
def _doctor(result: results.Doctor) -> list[str]:
    shown = [line for check in result.checks for line in _check_lines(check)]
    counts = {verdict: sum(check.verdict == verdict for check in result.checks) for verdict in _VERDICTS}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    return [*shown, *(f"  {upload_line(upload)}" for upload in result.stale_uploads), summary]


_VERDICTS = ("ok", "warning", "unknown", "failed")
_CHECK_INDENT = 30


def _check_lines(check: Check) -> list[str]:
    """A check: verdict, title and detail, and below them what to do."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - _CHECK_INDENT)
    first, *rest = _wrapped(printable(check.detail), width)
    fix = _wrapped(printable(f"-> {check.fix}"), width) if check.fix else []
    return [
        f"{check.verdict:<9}{check.title:<{_CHECK_INDENT - 9}}{first}",
        *(" " * _CHECK_INDENT + line for line in (*rest, *fix)),
    ]


@lines.register
def _collected(result: results.Collected) -> list[str]:
    return [f"aborted {upload_line(upload)}" for upload in result.aborted] or ["nothing to do"]


@lines.register
def _policy(result: results.Policy) -> list[str]:
    return json.dumps(result.document, indent=2).splitlines()


@lines.register
def _serving_stack(result: results.ServingStack) -> list[str]:
    return [f"the serving stack is installed: endpoints of the sandbox run under {result.python}"]


@lines.register
def _sandbox_status(result: results.SandboxStatus) -> list[str]:
    if not result.running:
        return ["the sandbox does not run"]
    places = [f"  Hub  {result.hub}", f"  AWS  {result.aws}", f"  log  {result.log}"]
    return [f"the sandbox runs as process {result.pid}", *places]


@lines.register
def _sandbox_stopped(result: results.SandboxStopped) -> list[str]:
    return ["the sandbox has ended" if result.stopped else "the sandbox did not run"]


@lines.register
def _sandbox_model(result: results.SandboxModel) -> list[str]:
    revision = f'"{result.revision}"' if result.revision.isdigit() else result.revision
    head = f"{result.id} is in the sandbox's Hub, and will be after a restart. Write into the spec:"
    return [head, "", "model:", f"  id: {result.id}", f"  revision: {revision}"]


@lines.register
def _sandbox_environment(result: results.SandboxEnvironment) -> list[str]:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in result.export.items()]
    return [f"unset {' '.join(result.unset)}", *exports]


def upload_line(upload: results.Upload) -> str:
    """An unfinished upload, as one line."""
    return f"{upload.location}, begun {upload.initiated or 'at an unknown time'}"


def table(actions: Sequence[Action]) -> list[str]:
    """The plan for people, as lines: step, run or skip, bytes, why."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 40)
    lines = [f"{'STEP':<10}{'':<8}{'FETCH':>10}{'SEND':>10}  WHY"]
    for action in actions:
        fetch = format_bytes(action.fetch) if action.fetch else "-"
        send = format_bytes(action.send) if action.send else "-"
        first, *rest = _wrapped(printable("; ".join(action.reasons)), width)
        lines.append(f"{action.step:<10}{action.status:<8}{fetch:>10}{send:>10}  {first}")
        lines.extend(" " * 40 + line for line in rest)
    return lines


def contents_table(contents: Sequence[Content]) -> list[str]:
    """Where each content comes from when it is published, as lines."""
    lines = [f"{'COPIED':>10}{'SENT':>10}{'FETCHED':>10}{'READ':>10}  CONTENT"]
    sources: dict[tuple[str, str | None], int] = {}
    for content in contents:
        columns = "".join(
            f"{format_bytes(getattr(content, key)) if getattr(content, key) else '-':>10}"
            for key in ("copied", "sent", "fetched", "read")
        )
        number = ""
        if content.source:
            number = f", copied from [{sources.setdefault((content.source, content.binding), len(sources) + 1)}]"
        lines.append(f"{columns}  {content.path} ({format_bytes(content.size)}){number}")
    lines += [f"[{number}] {source}: {binding}" for (source, binding), number in sources.items()]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
