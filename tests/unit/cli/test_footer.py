"""After a result: how long it took, and the next command as the user would type it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagepack.api import results
from sagepack.cli.footer import command, footer
from sagepack.cli.layout import plain
from sagepack.cli.options import Options
from sagepack.deploy.change import Change
from sagepack.deploy.origin import Origin
from sagepack.engine.plan import Action

ROOT = Path("/project")
PROD = Options(ROOT, "config/b.yaml", "prod", ("a=b c",))
MADE = [".venv/bin/sagepack", "plan", "--config", "config/b.yaml", "--env", "prod"]
MAKE = {"MAKELEVEL": "1", "MAKEFLAGS": " -- ENV=prod CONFIG=config/b.yaml"}


@pytest.mark.parametrize(
    ("options", "argv", "environ", "typed"),
    [
        (Options(ROOT, "config/a.yaml"), ["./bin/sagepack", "plan"], {}, "./bin/sagepack deploy"),
        (Options(ROOT), ["/x/sagepack/__main__.py", "plan"], {}, "python -m sagepack deploy"),
        (
            PROD,
            [".venv/bin/invoke", "plan", "--config=config/b.yaml"],
            {},
            ".venv/bin/invoke deploy --config config/b.yaml --env prod --set 'a=b c'",
        ),
        (Options(ROOT, "config/a.yaml"), MADE, {"MAKELEVEL": "1"}, "make deploy"),
        (Options(ROOT), ["/x/sagepack", "plan"], {"MAKELEVEL": "1"}, "/x/sagepack deploy"),
        (
            PROD,
            MADE,
            MAKE,
            """make deploy ENV=prod CONFIG=config/b.yaml ARGS='--set '"'"'a=b c'"'"''""",
        ),
    ],
)
def test_the_next_command_is_typed_as_this_one_was(
    options: Options, argv: list[str], environ: dict[str, str], typed: str
) -> None:
    assert command("deploy", options, argv, environ) == typed


def test_a_program_on_the_path_is_typed_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "sagepack"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command("plan", Options(ROOT), [str(program)], {}) == "sagepack plan"


DEV = Origin("dev", "s3://bucket/record.json")
GARBAGE = results.Garbage("s3://b/m", (results.Removable("model", "m", 0, None, "old"),), 0, None, (), (), ())
RUN, SKIP = Action("tar", "run", ("first run",)), Action("tar", "skip", ("up to date",))


@pytest.mark.parametrize(
    ("result", "begins", "ends"),
    [
        (results.Validated("config/a.yaml", "a", "local"), "next: ", " plan"),
        (results.Plan("deploy", (RUN,)), "next: ", " deploy"),
        (results.Plan("deploy", (SKIP,)), "", ""),
        (results.Built("package", (RUN,)), "done in 2.0 s; next: ", " deploy"),
        (results.Built("deploy", (RUN,)), "done in 2.0 s; next: ", " predict"),
        (results.Cleaned(()), "", ""),
        (results.EndpointStatus("a"), "next: ", " deploy"),
        (results.EndpointStatus("a", state="InService"), "", ""),
        (results.EndpointStatus("a", state="Failed", reason="no ping"), "next: ", " logs"),
        (results.Plan("deploy", (RUN,), promoted_from=DEV), "next: ", "the same command without --dry-run"),
        (results.Plan("deploy", (SKIP,), promoted_from=DEV), "", ""),
        (GARBAGE, "next: ", "the same command without --dry-run"),
        (results.ToDestroy("a", (results.Resource("endpoint", "a"),), (), (), ()), "next: ", "without --dry-run"),
        (results.ToDestroy("a", (), (), (), ()), "", ""),
        (
            results.Rollback("a", "r", None, "m", "c", changes=(Change("update", "why"),)),
            "done in 2.0 s; next: ",
            " predict",
        ),
        (results.Rollback("a", "r", None, "m", "c", changes=()), "done in 2.0 s", ""),
        (results.Woken("a", 1, changed=True, sleeps_again=True), "done in 2.0 s", ""),
    ],
)
def test_a_result_is_followed_by_time_and_next_step_where_they_say_something(
    result: results.Result, begins: str, ends: str
) -> None:
    said = plain(footer(result, Options(ROOT), 2.0, hint=True) or "")
    assert said.startswith(begins)
    assert said.endswith(ends)
    assert bool(said) == bool(begins)


def test_a_log_gets_no_hint() -> None:
    assert plain(footer(results.Built("package", (RUN,)), Options(ROOT), 2.0, hint=False) or "") == "done in 2.0 s"
    assert footer(results.Plan("deploy", (RUN,)), Options(ROOT), 2.0, hint=False) is None
