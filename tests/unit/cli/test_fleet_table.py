"""What a person reads of a fleet: a table, each error once, and what it comes to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api.results import FleetRun, Job, JobError, JobProblem
from sagepack.cli import fleet_table
from sagepack.cli.fleet_watch import FleetWatch
from sagepack.cli.layout import Screen, cells, plain
from sagepack.cli.terminal import Log

if TYPE_CHECKING:
    from pathlib import Path

WRONG = JobError(
    "SpecError",
    1,
    "1 problem in the spec",
    problems=(JobProblem("config/b.yaml:3:1", "code.path", "no such folder", "check the name"),),
)
DOWN = JobError("RemoteError", 3, "AWS cannot respond now", where="s3://bucket", fix="run it again")


def job(name: str, env: str = "dev", status: Any = "done", **more: Any) -> Job:
    return Job(
        f"config/{name}.yaml", env, name, status, **{"seconds": 1.5, "log": f"build/fleet/{name}-{env}.log", **more}
    )


def fleet(*jobs: Job, goal: str = "upload", **more: Any) -> FleetRun:
    amounts = {key: sum(getattr(each, key) for each in jobs) for key in ("fetch", "send", "copy")}
    return FleetRun(goal, None, jobs, **{**amounts, **more})


def lines(run: FleetRun, width: int = 100) -> list[str]:
    return [plain(line) for line in Screen(width=width).lines(fleet_table.blocks(run))]


def test_the_table_tells_of_each_job_what_it_did_and_of_each_error_whom_it_stopped() -> None:
    run = fleet(
        job("a", steps=("assemble", "upload"), send=5 << 20, copy=1 << 30),
        job("b", status="failed", exit_code=1, error=WRONG),
        job("b", "prod", status="failed", exit_code=1, error=WRONG),
        job("c", status="unchanged"),
    )
    assert lines(run) == [
        "NAME  ENV   RESULT         SEND     COPY   TIME  STEPS, OR WHY NOT",
        "a     dev   done        5.0 MiB  1.0 GiB  1.5 s  assemble, upload",
        "b     dev   failed            -        -  1.5 s  1 problem in the spec",
        "b     prod  failed            -        -  1.5 s  1 problem in the spec",
        "c     dev   up to date        -        -  1.5 s  ",
        "",
        "error: b dev, b prod: 1 problem in the spec",
        "  config/b.yaml:3:1: code.path: no such folder",
        "    check the name",
        "       log: build/fleet/b-dev.log, build/fleet/b-prod.log",
        "",
        "4 jobs, upload: 1 done, 2 failed, 1 up to date; 5.0 MiB sent, 1.0 GiB copied inside S3",
    ]


def test_a_command_that_an_error_proposes_is_about_its_job() -> None:
    stale = JobError("UserError", 1, "the lock needs to be updated", fix="run `invoke lock`, and commit it")
    shown = lines(fleet(job("b", "prod", status="failed", exit_code=1, error=stale)))
    assert any("lock --config config/b.yaml --env prod`, and commit it" in line for line in shown)


def test_of_many_jobs_those_that_had_nothing_to_do_are_counted() -> None:
    run = fleet(*(job(f"m{number}", status="unchanged") for number in range(599)), job("new", steps=("upload",)))
    shown = lines(run)
    assert [line.split()[0] for line in shown[:2]] == ["NAME", "new"]
    assert shown[2:] == ["", "600 jobs, upload: 1 done, 599 up to date"]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_table_fits_a_terminal(width: int) -> None:
    run = fleet(
        job(
            "a-name-that-is-long-as-names-of-models-are",
            steps=("download", "assemble", "checksum", "upload"),
            send=1,
            copy=1,
        ),
        job("b", status="failed", error=DOWN),
    )
    screen = Screen(width=width, glyphs="unicode", is_terminal=True)
    assert all(cells(plain(line)) <= width for line in screen.lines(fleet_table.blocks(run)))


@pytest.mark.parametrize(
    ("codes", "interrupted_by", "code"),
    [
        ((0, 0), None, 0),
        ((2, 0), None, 2),
        ((2, 1), None, 1),
        ((1, 3), None, 3),
        ((3, 4, 1), None, 4),
        ((0, 3), 2, 130),
        ((), None, 0),
    ],
)
def test_the_exit_code_is_the_worst_of_all(codes: tuple[int, ...], interrupted_by: int | None, code: int) -> None:
    run = fleet(*(job("a", exit_code=each) for each in codes), interrupted_by=interrupted_by)
    assert run.exit_code == code


def test_an_interrupted_fleet_says_what_was_not_done() -> None:
    run = fleet(job("a"), job("b", status="interrupted"), job("c", status="waiting", log=None), interrupted_by=2)
    assert lines(run)[-1] == "3 jobs, upload: 1 done, 1 interrupted, 1 not begun; the same command does the rest"


def test_a_log_gets_a_line_for_each_job_that_has_ended_and_now_and_then_what_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "a-dev.log"
    log.write_text("10:00:00 upload: 1.0 GiB of 2.0 GiB\n")
    watch = FleetWatch(Log())
    watch.begins(job("a", log=str(log)), left=1)
    watch.waits()
    watch._told -= 60
    watch.waits()
    watch.ended(job("a", steps=("upload",), send=1 << 20))
    watch.begins(job("b", log=str(log)), left=0)
    watch.ended(job("b", status="failed", error=DOWN))
    watch.close()
    assert capsys.readouterr().err.splitlines() == [
        "1 running: a dev (upload: 1.0 GiB of 2.0 GiB)",
        "[1/2] a dev: upload; 1.0 MiB sent (1.5 s)",
        "[2/2] b dev: failed: s3://bucket: AWS cannot respond now (all of it in build/fleet/b-dev.log) (1.5 s)",
    ]
