"""The page of the documents that tasks print with `--json`, from their schemas."""

from __future__ import annotations

import json
from typing import Any

from sagepack.api.schema import event_schema, result_schema
from sagepack.cli.task import TASKS
from tests.helpers.golden import GOLDEN
from tests.helpers.paths import SCHEMAS
from tests.helpers.reference.markdown import anchor, code, page, sentence, table
from tests.helpers.reference.tasks import results_of

_INTRODUCTION = """\
# JSON documents

*Made from the program: `sagepack/api/results/`, `sagepack/schemas/result.schema.json` and `sagepack/schemas/error.schema.json`.*

With `--json` a task prints one document on stdout and nothing else there: what came of it, or why it failed. Numbers are numbers: sizes in bytes, times in seconds. Within
version 1 fields may be added, and none is removed or changes its meaning; so ignore what you do not know. The schemas are part of the installed package, in `sagepack/schemas/`."""


_EVENTS = """\
With `--events FILE` every task writes what happens as it happens: one JSON document a line, each written at once and matching `sagepack/schemas/event.schema.json`. What is on the screen does not
change. The file begins anew with each run, so that it holds one, and a file that holds something else is refused; a pipe, a FIFO and `/dev/fd/3` will do as well, and their reader has to read: a full pipe makes the run wait. `-` is stdout, which then gets the
events alone: the last one has the result. A file that cannot be written, or that another command is writing, is an error before anything runs; one that fails later ends the events, not the run. Times are in UTC (RFC 3339). Within version 1 fields and kinds of events may be added: ignore what you do not know. For example:

```
sagepack upload --env prod --events /dev/fd/3 3>&1 >/dev/null | jq -r 'select(.event == "progress") | "\\(.label) \\(.done)/\\(.total)"'
```

The last run that built or deployed something, or failed, of `download`, `assemble`, `checksum`, `tar`, `package`, `upload`, `deploy`, `promote`, `rollback` or a job of `fleet`, is kept in `build/<name>-<env>/last-run.jsonl`, whatever the flags: a run that had nothing to do, or that only locks, stops instances or removes something, leaves the one before. A file without the event run-ended is of a run that goes on, or that was killed; a job that was interrupted with its fleet leaves such a file, too.

`fleet --events FILE` writes one such run: [`run-begun`](#runbegun), [`fleet-begun`](#fleetbegun) with the jobs, of each job [`job-begun`](#jobbegun) and [`job-ended`](#jobended), or [`job-skipped`](#jobskipped), and [`run-ended`](#runended). What happens in a job names it as `job`, which is null or absent elsewhere, so that one program reads both: grouped by `job`, the events between job-begun and job-ended are those that a command for that spec alone writes, and that `last-run.jsonl` of that spec keeps. Events of jobs that run at the same time are mixed, each on a line of its own, and those of one job are in order. For example, the bytes that each job sends:

```
sagepack fleet upload --envs dev,prod --events /dev/fd/3 3>&1 >/dev/null | jq -r 'select(.event == "step-ended" and .sent) | "\\(.job.config) \\(.job.env): \\(.sent)"'
```"""


def documents_page() -> str:
    """The text of `docs/reference/json.md`."""
    schema, errors = result_schema(), json.loads((SCHEMAS / "error.schema.json").read_text())
    results = [reference["$ref"].split("/")[-1] for reference in schema["properties"]["result"]["anyOf"]]
    others = [name for name in schema["$defs"] if name not in results]
    example = (GOLDEN / "lock.json").read_text().replace("<seconds>", "0.214").strip()
    told = event_schema()
    happenings = [reference["$ref"].split("/")[-1] for reference in told["anyOf"]]
    parts = [name for name in told["$defs"] if name not in {*happenings, *schema["$defs"]}]
    return page(
        _INTRODUCTION,
        "## What every document has",
        table(
            ("field", "type", "meaning"),
            [_row(name, part) for name, part in schema["properties"].items() if name != "result"],
        ),
        "Then `result`, one of the [results](#results) below, or [`error`](#errors). In a document about a mistake in the command line itself, `task`, `seconds` and `spec` are null.",
        f"For example, of `sagepack lock --json`:\n\n```json\n{example}\n```",
        "## Results",
        *(block for name in results for block in _component(name, schema["$defs"][name], _printed_by(name))),
        "## Values in results",
        *(block for name in others for block in _component(name, schema["$defs"][name], "")),
        "## Errors",
        errors["properties"]["error"]["description"],
        _fields(errors["properties"]["error"]),
        "A [problem](#problem) is one mistake of a spec. A finding, of `verify --remote`:",
        _fields(errors["properties"]["error"]["properties"]["findings"]["items"]),
        "## Events",
        _EVENTS,
        *(block for name in happenings for block in _component(name, told["$defs"][name], "")),
        *(block for name in parts for block in _component(name, told["$defs"][name], "")),
    )


def _printed_by(result: str) -> str:
    names = [f"[`{task.name}`](tasks.md#{anchor(task.name)})" for task in TASKS if result in results_of(task)]
    return f"Of {', '.join(names)}." if names else ""


def _component(name: str, component: dict[str, Any], note: str) -> list[str]:
    words = " ".join(filter(None, (component["description"], note)))
    return [f"### {name}", words, _fields(component)]


def _fields(part: dict[str, Any]) -> str:
    return table(
        ("field", "type", "meaning"), [_row(name, field) for name, field in part.get("properties", {}).items()]
    )


def _row(name: str, part: dict[str, Any]) -> tuple[str, str, str]:
    return code(name), _kind(part), sentence(part.get("description", ""))


def _kind(part: dict[str, Any]) -> str:
    if "$ref" in part:
        name = part["$ref"].split("/")[-1]
        return f"[{name}](#{anchor(name)})"
    if "const" in part:
        return code(part["const"])
    if "enum" in part:
        return ", ".join(code(value) for value in part["enum"])
    if "anyOf" in part:
        return " or ".join(_kind(option) for option in part["anyOf"])
    kinds = part["type"] if isinstance(part["type"], list) else [part["type"]]
    return " or ".join(
        f"list of {_kind(part['items'])}" if kind == "array" and "items" in part else kind for kind in kinds
    )
