"""The plan fits the terminal, and says what would be done in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.cli.layout import Screen, cells, plain
from sagepack.cli.plan_table import contents_table, graph, summary, table
from sagepack.deploy.change import Change
from sagepack.engine.plan import Action, Content

WIDTHS = st.integers(50, 200)
URI = "s3://the-bucket-of-the-team/models/svd/1a1ea81dee6ca0a0/model.tar.gz"


def texts(actions: list[Action], screen: Screen) -> list[str]:
    return [plain(line) for line in table(actions, screen)]


@given(st.lists(st.text("abc ;", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=12), WIDTHS)
def test_no_word_of_a_reason_is_lost_and_no_line_too_long(reasons: list[str], width: int) -> None:
    shown = texts([Action("tar", "run", tuple(reasons), fetch=1 << 30, send=5, copy=9 << 20)], Screen(width))
    assert all(cells(line) <= width for line in shown)
    column = shown[0].index("WHY")
    assert " ".join(line[column:] for line in shown[1:]).split() == "; ".join(reasons).split()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("glyphs", ["unicode", "none"])
def test_the_reasons_of_a_row_stay_in_their_column(width: int, glyphs: str) -> None:
    reasons = (f"{URI} is not what this machine published there", "an interrupted upload continues")
    actions = [Action("lock", "skip", ("up to date",)), Action("upload", "run", reasons, fetch=1, send=2048, copy=3)]
    lines = texts(actions, Screen(width, glyphs=glyphs))  # type: ignore[arg-type]
    column = lines[0].index("WHY")
    assert max(map(len, lines)) <= width
    assert lines[1][column:] == "up to date"
    assert all(line[:column].strip() == "" for line in lines[3:])


def test_amounts_have_a_column_where_there_are_any_and_where_there_is_room() -> None:
    actions = [Action("upload", "run", ("not in S3",), fetch=1024, send=2048), Action("deploy", "skip", ("same",))]
    header, first, second = texts(actions, Screen(100))
    assert header.split() == ["STEP", "FETCH", "SEND", "WHY"]
    assert first.split()[2:6] == ["1.0", "KiB", "2.0", "KiB"]
    assert second.split() == ["deploy", "skip", "-", "-", "same"]
    assert texts(actions, Screen(50))[0].split() == ["STEP", "WHY"]
    assert texts(actions[1:], Screen(100))[0].split() == ["STEP", "WHY"]


def test_changes_of_the_endpoint_have_signs() -> None:
    changes = (
        Change("update", "why", "endpoint.instance_type", "InstanceType", "ml.g5.2xlarge", "ml.g5.4xlarge"),
        Change("update", "why", "environment.HF_HUB_OFFLINE", "Environment.HF_HUB_OFFLINE", "none", "1"),
        Change("scaling", "why", "alarm svd-wake", "Alarm.svd-wake", "there", "none"),
    )
    shown = texts([Action("deploy", "run", ("why",) * 3, changes=changes)], Screen(60))
    assert [line[13:].strip() for line in shown[1:]] == [
        "~ endpoint.instance_type: ml.g5.2xlarge ->",
        "ml.g5.4xlarge",
        "+ environment.HF_HUB_OFFLINE: 1",
        "- alarm svd-wake",
    ]


def test_names_of_apis_are_shown_to_whom_looks_for_causes() -> None:
    change = Change("update", "why", "package", "PrimaryContainer.X.S3Uri", "a", "b")
    (_, shown) = texts([Action("deploy", "run", ("why",), changes=(change,))], Screen(120, detailed=True))
    assert shown.endswith("~ package: a -> b (PrimaryContainer.X.S3Uri)")


GRAPH = {
    "lock": (),
    "download": ("lock",),
    "assemble": ("lock",),
    "checksum": ("assemble",),
    "upload": ("download", "checksum"),
    "deploy": ("upload",),
}


def test_a_graph_is_the_table_with_lines_from_each_step_to_those_that_need_it() -> None:
    actions = [Action(step, "run", ("why it runs",)) for step in GRAPH]
    assert [plain(line)[:14].rstrip() for line in graph(actions, GRAPH, Screen(glyphs="unicode"))] == [
        "    STEP",
        "→   lock",
        "├─→ download",
        "→ │ assemble",
        "→ │ checksum",
        "→─╯ upload",
        "→   deploy",
    ]
    assert [plain(line)[:4] for line in graph(actions, GRAPH, Screen())][1:] == [
        "o   ",
        "+-o ",
        "o | ",
        "o | ",
        "o-+ ",
        "o   ",
    ]


@given(st.lists(st.text("abc ;", min_size=1, max_size=30).filter(str.strip), min_size=1, max_size=12), WIDTHS)
def test_lines_of_a_graph_go_on_beside_long_reasons(reasons: list[str], width: int) -> None:
    actions = [Action(step, "run", tuple(reasons)) for step in GRAPH]
    shown = [plain(line) for line in graph(actions, GRAPH, Screen(width, glyphs="unicode"))]
    assert all(cells(line) <= width for line in shown)
    column = shown[0].index("WHY")
    assert " ".join(line[column:] for line in shown[1:]).split() == "; ".join(reasons).split() * len(GRAPH)
    going_on = [line for line in shown[2:-1] if not line[4:column].strip() and "upload" not in line]
    assert all(line[0] in "│ " for line in going_on)


CREATE = Change("create", "endpoint svd does not exist", "endpoint svd")


@pytest.mark.parametrize(
    ("actions", "text"),
    [
        ([Action("tar", "skip", ("up to date",))], "nothing to do"),
        ([Action("tar", "run", ("first run",))], "1 to run"),
        (
            [
                Action("download", "run", ("why",), fetch=24 << 20),
                Action("upload", "run", ("why",), send=8704, copy=6 << 20),
                Action("deploy", "run", ("why",), changes=(CREATE,)),
            ],
            "3 to run, 24.0 MiB to fetch, 8.5 KiB to send, 6.0 MiB copied inside S3, + endpoint svd",
        ),
        ([Action("deploy", "run", ("why",), changes=(CREATE, CREATE))], "1 to run, 2 changes of the endpoint"),
        (
            [Action("upload", "run", ("why",)), Action("deploy", "blocked", ("why",))],
            "blocked: deploy; nothing would be changed",
        ),
    ],
)
def test_a_plan_is_summed_up_in_a_line(actions: list[Action], text: str) -> None:
    assert [plain(line) for line in summary(actions, Screen())] == [text]
    assert " ".join(plain(line) for line in summary(actions, Screen(40))) == text


def test_contents_show_what_moves_and_where_it_is_copied_from() -> None:
    binding = "read and hashed first"
    rows = [
        Content("unet/a", 10, copied=0, sent=10, fetched=1024, read=0, source=None, binding=None),
        Content("unet/b", 10, copied=15, sent=0, fetched=0, read=15, source="s3://a/m.tar.gz", binding=binding),
        Content("unet/c", 10, copied=15, sent=0, fetched=0, read=0, source="s3://a/m.tar.gz", binding=binding),
    ]
    assert [plain(line).split() for line in contents_table(rows, Screen())] == [
        ["COPIED", "SENT", "FETCHED", "READ", "FILE"],
        ["-", "10", "B", "1.0", "KiB", "-", "unet/a", "(10", "B)"],
        ["15", "B", "-", "-", "15", "B", "unet/b", "(10", "B)", "[1]"],
        ["15", "B", "-", "-", "-", "unet/c", "(10", "B)", "[1]"],
        ["[1]", "copied", "from", "s3://a/m.tar.gz:", "read", "and", "hashed", "first"],
    ]


@given(st.lists(st.text("ab/日", min_size=1, max_size=150), min_size=1, max_size=60), WIDTHS)
def test_files_fit_the_width_and_the_small_ones_of_many_are_summed_up(paths: list[str], width: int) -> None:
    rows = [
        Content(path, number, copied=0, sent=number, fetched=0, read=0, source=None, binding=None)
        for number, path in enumerate(paths, 1)
    ]
    lines = [plain(line) for line in contents_table(rows, Screen(width))]
    assert all(cells(line) <= width for line in lines)
    assert len(lines) == min(len(rows), 40) + 1 + (len(rows) > 40)
