"""What people read of results about a package: the spec, the lock, the plan, the archive, signatures."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli import plan_table, scan_table
from sagepack.cli.layout import Block, Span
from sagepack.cli.output import as_called
from sagepack.cli.screens.parts import done_line, fact_lines, itemized, lines
from sagepack.text import counted, format_bytes, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence


@lines.register(results.Validated)
def _validated(result: results.Validated) -> list[Block]:
    return [done_line(f"{result.config} is valid for {result.env}")]


@lines.register(results.Initialized)
def _initialized(result: results.Initialized) -> list[Block]:
    shown: list[Block] = [done_line(f"wrote {path}") for path in result.files]
    shown += ["", f"The model, for {result.task}:", *(partial(itemized, line, bullet="- ") for line in result.seen)]
    shown += ["", partial(itemized, f"Assumed, to be changed in {result.spec}:")]
    shown += [partial(itemized, as_called(note), bullet="- ") for note in result.assumptions]
    return [
        *shown,
        "",
        (Span("next:", "dim"),),
        *((Span(f"  {as_called(f'`{command}`').strip('`')}", "bold"),) for command in result.next),
    ]


@lines.register(results.Locked)
def _locked(result: results.Locked) -> list[Block]:
    how = "written" if result.changed else "is up to date"
    files = f"{counted(result.files, 'file')}, {format_bytes(result.size)}"
    origin = {"folder": result.folder} if result.folder else {"model": result.repo or "", "commit": result.commit or ""}
    pinned = [done_line(f"the commit is written into {result.pinned}")] if result.pinned else []
    added = {"packages": _added(result.packages)} if result.packages else {}
    about = {"licence": _licence(result)} if result.license else {}
    if result.accepted:
        about["scan"] = f"accepted what was found in {one_of(result.accepted)}"
    return [
        *pinned,
        done_line(f"{result.path} {how}"),
        fact_lines({**origin, "files": files, **about, **added}, wrap=True),
    ]


def _licence(result: results.Locked) -> str:
    gate = {
        "auto": "; gated: its conditions have to be accepted",
        "manual": "; gated: its owner decides who may read it",
    }
    return f"{result.license}{gate.get(result.gated or '', '')}"


def _added(packages: Sequence[results.AddedPackage]) -> str:
    """What the requirements add to the image, in one line."""
    named = [f"{each.name} {each.version}{f' for {each.replaces}' if each.replaces else ''}" for each in packages]
    return f"{format_bytes(sum(each.size for each in packages))} in the container: {one_of(named)}"


@lines.register(results.Scanned)
def _scanned(result: results.Scanned) -> list[Block]:
    return scan_table.blocks(result)


@lines.register(results.Plan)
def _plan(result: results.Plan) -> list[Block]:
    shown: list[Block] = [partial(plan_table.table, result.actions)]
    if result.contents is not None and result.promoted_from is None:  # all of a promoted package comes from one other
        shown += ["", partial(plan_table.contents_table, result.contents)]
    return [*shown, "", partial(plan_table.summary, result.actions)]


@lines.register(results.Graph)
def _graph(result: results.Graph) -> list[Block]:
    if result.path is not None:
        return [done_line(f"wrote {result.path}")]
    if result.document is not None:
        return [*result.document.rstrip("\n").split("\n")]
    drawn = partial(plan_table.graph, result.actions, result.needs)
    return [drawn, "", partial(plan_table.summary, result.actions)]


@lines.register(results.Built)
def _built(result: results.Built) -> list[Block]:
    did_nothing = not any(action.runs for action in result.actions)
    shown: list[Block] = []
    if did_nothing:
        shown += [partial(plan_table.table, result.actions), "", partial(plan_table.summary, result.actions)]
    facts: dict[str, str] = {}
    if result.manifest:
        facts["manifest"] = result.manifest
    if archive := result.archive:
        facts |= {
            "archive": archive.path,
            "size": f"{archive.size} bytes ({format_bytes(archive.size)})",
            "sha256": archive.sha256,
        }
    if result.artifact:
        facts["artifact"] = result.artifact.uri
    if endpoint := result.endpoint:
        facts |= {"endpoint": endpoint.name, "model": endpoint.model}
        facts |= {"console": endpoint.console, "log": endpoint.log} if endpoint.console and endpoint.log else {}
    return [*shown, fact_lines(facts)]


@lines.register(results.Verified)
def _verified(result: results.Verified) -> list[Block]:
    archive = result.archive
    how = "is as its manifest says, and a rebuild gave the same bytes" if result.rebuilt else "is as its manifest says"
    facts = {"files": f"{result.files}, {format_bytes(archive.size)}", "sha256": archive.sha256}
    return [done_line(f"{archive.path} {how}"), fact_lines(facts)]


@lines.register(results.VerifiedRemote)
def _verified_remote(result: results.VerifiedRemote) -> list[Block]:
    how = (
        "every byte is what the manifest says"
        if result.deep
        else f"{'signatures, ' if result.signature else ''}records, checksums and ETags agree; the model was not read"
    )
    facts = {
        "files": f"{result.files}, {format_bytes(result.size)}",
        "release": result.release,
        "read": f"{format_bytes(result.bytes_read)} in {counted(result.requests, 'request')}",
    }
    if signature := result.signature:
        facts["signed by"] = f"{signature.key} ({signature.hint[:16]}...), {signature.signed:%Y-%m-%d %H:%M} UTC"
    if result.builder:
        facts["builder"] = result.builder
    if result.commit:
        facts["commit"] = result.commit[:12] + (", with changes" if result.modified else "")
    notes = [partial(itemized, f"not compared: {note}") for note in result.not_compared]
    if result.earlier:
        text = f"of another lock with the same files: {' and '.join(result.earlier)}; delete what is to be written again, and run `invoke upload`"
        notes.append(partial(itemized, as_called(text)))
    return [done_line(f"{result.artifact}: {how}"), fact_lines(facts), *notes]


@lines.register(results.Sbom)
def _sbom(result: results.Sbom) -> list[Block]:
    return [*json.dumps(result.document, indent=1, ensure_ascii=False).split("\n")]  # as it is published


@lines.register(results.Signed)
def _signed(result: results.Signed) -> list[Block]:
    facts = {"key": f"{result.key} ({result.hint[:16]}...)", "manifest": result.manifest}
    if not result.changed:
        return [done_line(f"{result.artifact} is signed by this signer already"), fact_lines(facts)]
    facts["before"] = f"signed by {result.before}" if result.before else "not signed by a key that counts"
    facts["read"] = format_bytes(result.bytes_read) if result.bytes_read else "nothing of the model"
    return [done_line(f"{result.artifact} is signed"), fact_lines(facts)]
