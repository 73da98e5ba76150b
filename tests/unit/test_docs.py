"""The documentation names what exists: links, anchors, paths, tasks, targets, rooms."""

from __future__ import annotations

import ast
import json
import re
import shlex
import signal
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sagepack
from sagepack.api.results import FOUND_WORK
from sagepack.cli import tasks
from sagepack.cli.layout import Screen, plain
from sagepack.cli.plan_table import table
from sagepack.cli.task import TASKS
from sagepack.decoding import convert
from sagepack.engine.plan import Action
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.package.archive.layout import Layout
from sagepack.package.contents import manifest_of
from sagepack.package.lock import Lock
from sagepack.scaffold import kinds
from sagepack.spec import code_tree, loader
from sagepack.spec.inspection import Inspection
from sagepack.spec.secrets import texts
from tests.helpers.paths import DATA, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

assert tasks  # registers all tasks
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
_FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:^|(?<!from)[\s(/])(make|invoke|python -m sagepack|sagepack)[ \t]+(.*)")
# Paths of the repository, as the pages write them. Others are on the user's side, such as `dist/svd/prod`, or have a placeholder.
_TOP = ("sagepack/", "tests/", "docs/", "config/", "inference_code/", "benchmarks/", "schemas/")
# What the recipes make, and the example of a key of the spec.
_EXAMPLES = {"sagepack/engine/steps/listing.py", "listing", "where", "config/keys/chain.pem"}
# What the reader of the tutorial has, or makes with a recipe.
_READERS = re.compile(r"(config|inference_code)/(\w+/)*(mood|chat|image_to_image)\b")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def problems(page: Path, text: str) -> Iterator[str]:
    """What `text`, as a part of `page`, names and does not exist."""
    plain = _FENCE.sub("", text)
    yield from broken_links(page, plain)
    for code in _CODE.findall(plain):
        if code.startswith(_TOP) and not re.search(r"[<>*{ ]", code):
            if not (ROOT / code).exists() and code not in _EXAMPLES and not _READERS.match(code):
                yield f"`{code}`: no such file"
        else:
            yield from unknown_commands(code)
    scripts = [block for block in _FENCE.findall(text) if block.startswith(("```sh\n", "```yaml\n"))]
    indented = [line for line in plain.splitlines() if line.startswith(("    ", "\t"))]
    for line in (*indented, *(line for block in scripts for line in block.splitlines())):
        yield from unknown_commands(line.split("#")[0])


def broken_links(page: Path, text: str) -> Iterator[str]:
    """The links of a page to files and headings that do not exist."""
    for link in _LINK.findall(text):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if link.startswith(("https://", "mailto:")):
            continue
        if not target.exists():
            yield f"link to {link}: no such file"
        elif anchor and anchor not in anchors(target):
            yield f"link to {link}: no such heading"


def unknown_commands(line: str) -> Iterator[str]:
    """The tasks, targets and flags of a command line that do not exist."""
    match = _COMMAND.search(line)
    if not match:
        return
    try:
        words = shlex.split(match[2])
    except ValueError:
        words = match[2].split()
    known = targets() if match[1] == "make" else flags_by_task().keys()
    named = [word for word in words if re.fullmatch(r"[a-z][a-z.-]*", word)]
    if named and match[1] == "make":
        yield from (f"`{line}`: make has no target {name}" for name in named if name not in known | _EXAMPLES)
    elif named and words[0] == named[0] and named[0] not in _EXAMPLES:
        if named[0] not in known:
            yield f"`{line}`: no task {named[0]}"
            return
        given = {word.partition("=")[0] for word in words if re.match(r"--[a-z]", word)}
        yield from (f"`{line}`: {named[0]} has no flag {flag}" for flag in given - flags_by_task()[named[0]])


@cache
def targets() -> set[str]:
    """The targets of the Makefile that a person may name."""
    text = (ROOT / "Makefile").read_text()
    return {"help", *passed_on(), *re.findall(r"^([a-z-]+):", text, re.MULTILINE)}


@cache
def passed_on() -> tuple[str, ...]:
    """The tasks that the Makefile passes on to invoke, as make names them."""
    found = re.findall(r"^(?:SPEC|SANDBOX)_TASKS := (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return tuple(" ".join(found).split())


@cache
def flags_by_task() -> dict[str, set[str]]:
    """The tasks of the command line, each with its flags."""
    return {task.name: {f"--{flag.name}" for flag in task.all_flags} | {"--help"} for task in TASKS}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_path_and_command_of_a_page_exists(page: Path) -> None:
    assert list(problems(page, page.read_text())) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[a](docs/nothing.md)", "link to docs/nothing.md: no such file"),
        ("[a](docs/architecture.md#the-cellar)", "link to docs/architecture.md#the-cellar: no such heading"),
        ("[a](#cellar)", "link to #cellar: no such heading"),
        ("see `sagepack/nothing.py`", "`sagepack/nothing.py`: no such file"),
        ("run `invoke launch`", "`invoke launch`: no task launch"),
        ("    .venv/bin/invoke plan --two x", "`    .venv/bin/invoke plan --two x`: plan has no flag --two"),
        ("`make pckge ENV=prod`", "`make pckge ENV=prod`: make has no target pckge"),
        ("```yaml\n- sagepack plan --two x\n```", "`- sagepack plan --two x`: plan has no flag --two"),
    ],
)
def test_what_a_page_names_and_does_not_exist_is_found(text: str, problem: str) -> None:
    assert list(problems(ROOT / "README.md", text)) == [problem]


def test_the_makefile_passes_on_every_task() -> None:
    for_a_person = {"init", "new", "sandbox-add", "serve-install"}  # `make serve-venv` is the last of them
    assert set(passed_on()) == {name.replace(".", "-") for name in flags_by_task()} - for_a_person


def test_the_readme_lists_every_task_once() -> None:
    (section,) = re.findall(r"^## Tasks\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    first_cells = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    listed = [name for cell in first_cells for name in _CODE.findall(cell)]
    assert sorted(listed) == sorted(flags_by_task())


def test_the_readme_shows_the_package_that_lock_and_code_make() -> None:
    spec = loader.load(ROOT / "config" / "svd.yaml", "local", (), ROOT).spec()
    lock = Lock.parse((ROOT / "config" / "locks" / "svd-local.lock.yaml").read_bytes(), "the lock")
    code = code_tree.scan(ROOT, spec.code.folders, {}, Inspection(texts, spec.not_secret))
    manifest = manifest_of(lock, code)
    readme = (ROOT / "README.md").read_text()
    assert f"    ✓ checksum  {len(manifest.members)} files, identity {manifest.digest.short}  " in readme
    assert f"    manifest {manifest.digest}\n" in readme
    assert f"    size     {Layout.of(manifest.members).size} bytes" in readme


def test_the_readme_shows_the_plan_of_a_second_run_as_it_is_printed() -> None:
    plan = json.loads(
        (DATA / "golden" / "plan" / "nothing-to-do.json")
        .read_text()
        .replace("toy-local", "svd-local")
        .replace("<seconds>", "0")
    )
    actions = [convert(action, Action) for action in plan["result"]["actions"]]
    shown = "\n".join(f"    {plain(line)}" for line in table(actions, Screen(glyphs="unicode")))
    assert shown in (ROOT / "README.md").read_text()


def test_the_maps_name_every_room_and_leaf() -> None:
    names = {
        path.stem for path in (ROOT / "sagepack").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    }
    for room in names - {"__init__", "__main__"}:
        assert re.search(rf"\b{room}\b", sagepack.__doc__ or ""), room
        assert re.search(rf"\*\*{room}\*\*|`sagepack/{room}\.py`", (ROOT / "docs" / "architecture.md").read_text()), (
            room
        )


def test_every_message_of_the_troubleshooting_page_is_one_of_the_program() -> None:
    text = (ROOT / "docs" / "troubleshooting.md").read_text()
    cells = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    quoted = [message for cell in cells for message in _CODE.findall(cell)[:1]]
    assert len(quoted) > 40
    unknown = [message for message in quoted if not any(is_in_order(message.split("…"), said) for said in literals())]
    assert unknown == []


def is_in_order(pieces: list[str], text: str) -> bool:
    """Whether `text` has all of these, one after the other."""
    start = 0
    for piece in filter(None, (piece.strip() for piece in pieces)):
        start = text.find(piece, start)
        if start < 0:
            return False
        start += len(piece)
    return True


@cache
def literals() -> tuple[str, ...]:
    """The texts in the program, with nothing where a value is put in."""
    found = []
    for path in (ROOT / "sagepack").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
            found.append("".join(texts))
    return tuple(filter(None, found))


def test_the_index_leads_to_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {(index.parent / link).resolve() for link in _LINK.findall(index.read_text())}
    assert {page for page in (ROOT / "docs").rglob("*.md") if page != index} <= linked


def test_the_readme_has_every_exit_code() -> None:
    (section,) = re.findall(r"^## Tasks\n(.*?)^## ", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    cells = re.findall(r"^\| ([\d, ]+) \|", section, re.MULTILINE)
    signals = {128 + number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    failures = {kind.exit_code for kind in (UserError, RemoteError, IntegrityError)}
    assert {int(code) for cell in cells for code in cell.split(",")} == {0, FOUND_WORK} | failures | signals


def test_times_and_sizes_in_the_readme_are_those_that_were_measured() -> None:
    prose = re.sub(r"^    .*\n", "", _FENCE.sub("", (ROOT / "README.md").read_text()), flags=re.MULTILINE)
    said = re.findall(r"\b[\d.]+(?: to [\d.]+)? (?:ms|s|seconds|minutes|[KMG]i?B)\b", prose)
    measured = (ROOT / "docs" / "performance.md").read_text()
    assert [figure for figure in said if figure not in measured] == []


def documented_fields(heading: str) -> dict[str, tuple[str, str]]:
    """The fields in the table of a handler: name -> default, and what is allowed up to the first remark."""
    section = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    found: dict[str, tuple[str, str]] = {}
    for names, default, allowed in re.findall(
        r"^\| (`.*?) \| (.*?) ?\| (.*) \|$", section.partition("\n## ")[0], re.MULTILINE
    ):
        fields = re.findall(r"`(\w+)`", names)
        values = default.split(", ") if default else [""] * len(fields)
        rule = re.split(r"; |, the first", allowed)[0]
        found |= {field: (value, rule) for field, value in zip(fields, values, strict=True)}
    return found


def declared_fields(handler: str) -> dict[str, tuple[str, str]]:
    """The same of what the schema of its requests declares; pictures have a section of their own."""
    path = ROOT / "inference_code" / handler / "request.schema.json"
    fields = json.loads(path.read_text(encoding="utf-8"))["$defs"]

    def allowed(field: dict[str, float]) -> str:
        if "maxLength" in field:
            return f"text of up to {field['maxLength']:,} characters"
        multiple = f", multiples of {field['multipleOf']}" if "multipleOf" in field else ""
        high = "2^63 - 1" if field["maximum"] == 2**63 - 1 else f"{field['maximum']:,}"
        return f"{field['minimum']:,} to {high}{multiple}"

    return {
        name: (f"{field['default']:g}" if "default" in field else "", allowed(field))
        for name, field in fields.items()
        if name != "image"
    }


def documented_answers(heading: str) -> list[str]:
    """The media types in the table of a handler's answers."""
    section = (ROOT / "docs" / "inference.md").read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2]
    return re.findall(r"^\| `(\w+/[\w-]+)` \|", section.partition("\n## ")[0], re.MULTILINE)


@pytest.mark.parametrize(("heading", "handler"), [("Stable Video Diffusion", "svd"), ("LLaVA", "llava")])
def test_the_page_about_handlers_has_the_fields_that_their_schemas_declare(heading: str, handler: str) -> None:
    assert documented_fields(heading) == declared_fields(handler)


@pytest.mark.parametrize(("heading", "handler"), [("Stable Video Diffusion", "svd"), ("LLaVA", "llava")])
def test_the_page_about_handlers_has_the_answers_that_their_schemas_declare(heading: str, handler: str) -> None:
    declared = json.loads((ROOT / "inference_code" / handler / "request.schema.json").read_text(encoding="utf-8"))
    assert documented_answers(heading) == declared["x-accept"]


def test_the_page_about_handlers_has_the_tasks_that_new_knows() -> None:
    section = (
        (ROOT / "docs" / "inference.md").read_text(encoding="utf-8").partition("\n## Pipelines of transformers\n")[2]
    )
    rows = re.findall(r"^\| (`.*?) \| .*$", section.partition("`parameters` go")[0], re.MULTILINE)
    plain = {task for task in kinds.TASKS if kinds.kind_of(task).handler == "pipeline"}
    assert {name for row in rows for name in re.findall(r"`([\w-]+)`", row)} == plain
