"""What a command line says is what happens: invoke reads it in the same way, or it is refused with what to write."""

from __future__ import annotations

import keyword
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from invoke.parser import Parser
from invoke.parser.context import ParserContext
from invoke.program import Program

from sagepack.cli.command_line import Command, read
from sagepack.cli.task import TASKS, Flag
from sagepack.cli.tasks import collection
from sagepack.errors import UserError
from tests.helpers.paths import ROOT

COMMANDS = {registered.name: registered.all_flags for registered in TASKS}
PROGRAM = Program()


def parser(command: Command | None = None) -> Parser:
    """What invoke reads a line with."""
    initial = ParserContext(args=PROGRAM.core_args() + PROGRAM.task_args())
    return Parser(initial=initial, contexts=collection(ROOT, command).to_contexts())


PARSER = parser()

REFUSED: list[tuple[str, str, str]] = [
    ("--config config/llava.yaml deploy", "flags belong after", "write: invoke deploy --config config/llava.yaml"),
    ("--config=config/llava.yaml deploy --env prod", "flags", "invoke deploy --config config/llava.yaml --env prod"),
    ("--json=yes deploy", "flags belong after", "write: invoke deploy --json"),
    ("--config deploy", "flags belong after", "write: invoke deploy --config FILE"),
    ("-f config/llava.yaml deploy", "flags belong after", "write: invoke deploy --config config/llava.yaml"),
    ("-c config/llava.yaml deploy", "flags belong after", "write: invoke deploy --config config/llava.yaml"),
    ("deploy -c config/llava.yaml", "did you mean '--config'?", "write: invoke deploy --config config/llava.yaml"),
    ("deploy -f config/llava.yaml", "did you mean '--config'?", "write: invoke deploy --config config/llava.yaml"),
    ("deploy -f=x.yaml --env dev", "did you mean '--config'?", "write: invoke deploy --config x.yaml --env dev"),
    ("deploy -e prod", "did you mean '--env'?", "write: invoke deploy --env prod"),
    ("-e prod deploy", "flags belong after", "write: invoke deploy --env prod"),
    ("-e deploy", "-e is a flag of invoke", "leave it out"),
    ("destroy -y", "did you mean '--yes'?", "write: invoke destroy --yes"),
    ("--debug deploy", "flags belong after", "write: invoke deploy --debug"),
    ("--json plan --to tar", "flags belong after", "write: invoke plan --json --to tar"),
    ("--env prod", "--env: no task is named", "write: invoke TASK --env prod"),
    ("--evn prod", "unknown flag '--evn', did you mean '--env'?", "write: invoke TASK"),
    ("--dry destroy --yes", "--dry has no meaning here", "`invoke destroy --dry-run` shows"),
    ("promote -n", "-n has no meaning here", "`invoke promote --dry-run` shows"),
    ("wake --dry-run", "--dry-run has no meaning here", "`invoke plan` shows"),
    ("-R deploy", "-R has no meaning here", "`invoke plan --to deploy` shows"),
    ("deploy --dry-run", "--dry-run has no meaning here", "`invoke plan --to deploy` shows"),
    ("deploy --dry", "--dry has no meaning here", "`invoke plan --to deploy` shows"),
    ("--echo deploy", "--echo is a flag of invoke", "leave it out"),
    ("--hide both deploy", "--hide is a flag of invoke", "leave it out"),
    ("deploy -w", "-w is a flag of invoke", "leave it out"),
    ("deploy -T 5", "-T is a flag of invoke", "leave it out"),
    ("-r .. deploy", "-r is a flag of invoke", "leave it out"),
    ("deploy --no-dedupe", "--no-dedupe is a flag of invoke", "leave it out"),
    ("lock deploy --env prod", "one task", "write: invoke lock --env prod && invoke deploy --env prod"),
    ("lock --update deploy", "one task", "write: invoke lock --update && invoke deploy"),
    ("lock --env dev deploy --env prod", "one", "write: invoke lock --env dev && invoke deploy --env prod"),
    ("lock plan --env lock --to tar", "one", "invoke lock --env lock && invoke plan --env lock --to tar"),
    ("deploi --env prod", "'deploi' is no task, did you mean 'deploy'?", "invoke --list"),
    ("sandbox stop", "'sandbox' is no task, did you mean 'sandbox.stop'?", "its tasks are"),
    ("stop", "'stop' is no task, did you mean 'sandbox.stop'?", "invoke --list"),
    ("sandbox", "'sandbox' is no task", "its tasks are sandbox.status, sandbox.stop"),
    ("help deploy", "'help' is no task, did you mean '--help'?", "write: invoke --help deploy"),
    ("version", "'version' is no task, did you mean '--version'?", "write: invoke --version"),
    ("sandbox-stop", "did you mean 'sandbox.stop'?", "invoke --list"),
    ("xyzzy", "'xyzzy' is no task", "invoke --list"),
    ("'' plan", "'' is no task", "invoke --list"),
    ("new", "NAME is missing", "write: invoke new NAME"),
    ("new --model a/b", "NAME is missing", "write: invoke new NAME"),
    ("sandbox.add acme/sst2", "FOLDER is missing", "write: invoke sandbox.add NAME FOLDER"),
    ("new a b", "unexpected 'b'", "it takes NAME and flags"),
    ("diff 1 2 3", "unexpected '3'", "it takes [A] [B] and flags"),
    ("diff --before 1 2 3", "unexpected '3'", "it takes [A] [B] and flags"),
    ("diff 1 --before 2", "--before is given twice", "once"),
    ("rollback 2", "unexpected '2'", "write: --to 2"),
    ("promote 3", "unexpected '3'", "write: --release 3"),
    ("diff deploy", "one task", "write: invoke diff && invoke deploy"),
    ("diff env=prod", "unexpected 'env=prod'", "write: --env prod"),
    ("diff 1 config/llava.yaml", "unexpected 'config/llava.yaml'", "write: --config config/llava.yaml"),
    ("diff ''", "needs a value", "such as"),
    ("fleet", "GOAL is missing, one of validate, lock, download", "write: invoke fleet validate"),
    ("fleet depoly", "GOAL: 'depoly' is none of its values, did you mean 'deploy'?", "choose one of validate, lock"),
    ("fleet deploy --env prod", "unknown flag '--env', did you mean '--envs'?", ""),
    ("fleet deploy --config config/svd.yaml", "unknown flag '--config', did you mean '--select'?", ""),
    ("fleet deploy --select a.yaml b.yaml", "unexpected 'b.yaml'", "quote it: --select 'config/*.yaml'"),
    ("ENV=prod plan", "'ENV=prod' is how make takes it", "write: invoke plan --env prod"),
    ("plan ENV=prod", "unexpected 'ENV=prod'", "write: --env prod"),
    ("plan endpoint.name=x", "unexpected 'endpoint.name=x'", "--set endpoint.name=x"),
    ("plan --set a=1 b=2", "unexpected 'b=2'", "--set b=2"),
    ("plan config/llava.yaml", "unexpected 'config/llava.yaml'", "write: --config config/llava.yaml"),
    ("plan prod", "unexpected 'prod'", "--env"),
    ("deploy --locekd", "unknown flag '--locekd', did you mean '--locked'?", "flags of deploy: --config, --env"),
    ("deploy --conf x", "unknown flag '--conf', did you mean '--config'?", "flags of deploy"),
    ("gc --older_than 5", "did you mean '--older-than'?", "flags of gc"),
    ("deploy --xyzzy", "unknown flag '--xyzzy'", "flags of deploy"),
    ("deploy -x", "unknown flag '-x'", "flags of deploy"),
    ("deploy -", "unknown flag '-'", "flags of deploy"),
    ("deploy --env", "--env: needs a value", "--env local"),
    ("deploy --env --json", "--env: needs a value", "--env local"),
    ("deploy --env=", "--env: needs a value", "--env local"),
    ("deploy --env ''", "--env: needs a value", "--env local"),
    ("deploy --env=--json", "--env: '--json' cannot be a value", ""),
    ("deploy --set", "--set: needs a value", "--set KEY=VALUE"),
    ("deploy --set=", "--set: needs a value", "--set KEY=VALUE"),
    ("deploy --set --env prod", "--set: needs a value", "--set KEY=VALUE"),
    ("predict --input", "--input: needs a value", "--input FILE"),
    (
        "plan --to deploi",
        "--to: 'deploi' is none of its values, did you mean 'deploy'?",
        "choose one of lock, download",
    ),
    ("deploy --env a --env b", "--env is given twice", "once"),
    ("deploy --json=yes", "--json takes no value", "write --json"),
    ("deploy --json=false", "--json takes no value", "leave it out"),
    ("deploy --json yes", "unexpected 'yes'", "flags only"),
    ("deploy -- --env prod", "'--' has no meaning here", "leave it out"),
    ("--help deploi", "did you mean 'deploy'?", "--list"),
    ("--help deploy --env prod", "nothing may follow --help", ""),
    ("--list deploy", "'deploy' is no group of tasks", "there is sandbox, serve"),
    ("--list-depth 1 deploy", "unknown flag '--list-depth'", ""),
    ("--list --dry", "nothing may follow --list", ""),
    ("--version deploy", "nothing may follow --version", ""),
    ("--print-completion-script tcsh", "needs the name of a shell", "bash, fish, zsh"),
]


@pytest.mark.parametrize(("line", "message", "fix"), REFUSED)
def test_a_line_that_would_do_something_else_is_refused_with_what_to_write(line: str, message: str, fix: str) -> None:
    with pytest.raises(UserError) as refused:
        read(shlex.split(line), COMMANDS)
    first, *rest = refused.value.lines()
    assert message in first
    assert fix in "\n".join(rest)


@pytest.mark.parametrize(
    "line", [line for line, _, fix in REFUSED if fix.startswith("write: invoke ") and "TASK" not in fix]
)
def test_what_is_proposed_is_accepted(line: str) -> None:
    with pytest.raises(UserError) as refused:
        read(shlex.split(line), COMMANDS)
    for proposed in str(refused.value.fix).removeprefix("write: ").split(" && "):
        read(shlex.split(proposed)[1:], COMMANDS)


@pytest.mark.parametrize(
    ("line", "task", "answer"),
    [
        ("", "", "list"),
        ("--help", "", "list"),
        ("-l", "", "list"),
        ("--list", "", "list"),
        ("--list sandbox", "sandbox", "list"),
        ("-h deploy", "deploy", "help"),
        ("--help=deploy", "deploy", "help"),
        ("deploy --help", "deploy", "help"),
        ("deploy --env prod -h", "deploy", "help"),
        ("deploy --forse --help", "deploy", "help"),
        ("--version", "", "invoke"),
        ("-V", "", "invoke"),
        ("--list --list-format=json", "", "invoke"),
        ("-F json -l", "", "invoke"),
        ("--print-completion-script bash", "", "invoke"),
        ("--complete -- invoke --dry", "", "invoke"),
    ],
)
def test_a_question_runs_no_task(line: str, task: str, answer: Any) -> None:
    assert read(shlex.split(line), COMMANDS) == Command(task, {}, answer)


def test_words_without_a_flag_go_to_the_places_of_a_task_in_their_order() -> None:
    tasks = {
        "add": (Flag("name", "", "", positional=True), Flag("folder", "", "", positional=True), Flag("x", 1, "", 9))
    }
    assert read(["add", "a", "--x", "2", "add"], tasks) == Command("add", {"name": "a", "x": "2", "folder": "add"})
    for words, message in ((["add", "a"], "FOLDER is missing"), (["add", "a", "b", "c"], "unexpected 'c'")):
        with pytest.raises(UserError, match=message):
            read(words, tasks)


@pytest.mark.parametrize(
    ("line", "given"),
    [
        ("diff", {}),
        ("diff 2", {"before": "2"}),
        ("diff 2 1", {"before": "2", "after": "1"}),
        ("diff --env prod live --json tree", {"env": "prod", "before": "live", "json": True, "after": "tree"}),
        ("diff --before 2 1", {"before": "2", "after": "1"}),
        ("diff --after 1", {"after": "1"}),
    ],
)
def test_a_place_with_a_default_may_stay_empty(line: str, given: dict[str, Any]) -> None:
    command = read(shlex.split(line), COMMANDS)
    assert command.given == given
    assert as_read(command) == as_invoke_reads(shlex.split(line), command)


def test_a_name_is_typed_without_a_flag_or_with_one() -> None:
    assert read(["new", "film", "--model", "a/b"], COMMANDS) == Command("new", {"name": "film", "model": "a/b"})
    assert read(["new", "--model", "a/b", "--name", "film"], COMMANDS).given == {"model": "a/b", "name": "film"}


def test_proposals_begin_with_the_program_that_was_called() -> None:
    with pytest.raises(UserError) as refused:
        read(["--env", "prod", "deploy"], COMMANDS, "sagepack")
    assert refused.value.fix == "write: sagepack deploy --env prod"


def as_invoke_reads(words: list[str], command: Command) -> tuple[str | None, dict[str, Any]]:
    """Task and values of a line, as invoke would run it."""
    has_places_to_stay_empty = any(flag.positional and not flag.is_required for flag in COMMANDS[command.task])
    core, task = (parser(command) if has_places_to_stay_empty else PARSER).parse_argv(words)
    assert not any(argument.got_value for argument in core.args.values())
    group, _, name = (task.name or "").partition(".")
    return group if group == name else task.name, task.as_kwargs


def as_read(command: Command) -> tuple[str, dict[str, Any]]:
    """Task and values, those that were not given as well, under invoke's names."""
    values = {flag.name: command.given.get(flag.name, flag.shown_default) for flag in COMMANDS[command.task]}
    names = {name: name.replace("-", "_") for name in values}
    return command.task, {f"{word}_" if keyword.iskeyword(word) else word: values[name] for name, word in names.items()}


PLAIN = st.one_of(
    st.sampled_from(["prod", "config/svd.yaml", "a=b", "a=--json", "lock", "deploy", "a b", "ä", "="]),
    st.text(min_size=1, max_size=8).filter(lambda text: not text.startswith("-")),
)
ODD = st.sampled_from(["", "-", "--", "-x", "--json", "--help", "--env=x", "-abc", "--json=x", "--forse"])


@st.composite
def lines(draw: st.DrawFn, values: st.SearchStrategy[str]) -> list[str]:
    """A command line with flags of its task."""
    task = draw(st.sampled_from(sorted(COMMANDS)))
    words = [task]
    once = {flag.name: flag for flag in draw(st.lists(st.sampled_from(COMMANDS[task]), max_size=6))}.values()
    sets = [flag for flag in COMMANDS[task] if isinstance(flag.default, tuple)] * draw(st.integers(0, 2))
    unnamed = [flag for flag in COMMANDS[task] if flag.positional]
    by_place = draw(st.booleans())  # all of them: one that is named leaves its place to the next
    for flag in draw(st.permutations([*(flag for flag in once if not flag.positional), *sets, *unnamed])):
        if flag.positional and by_place:
            words.append(
                draw(
                    st.sampled_from(flag.choices)
                    if flag.choices
                    else PLAIN
                    if flag.is_required
                    else st.sampled_from(["live", "2", "2026-01-02 03:04", "ä"])
                )
            )
        elif isinstance(flag.default, bool):
            words.append(f"--{flag.name}")
        else:
            value = draw(st.sampled_from(flag.choices) if flag.choices else values)
            words += draw(st.sampled_from([[f"--{flag.name}={value}"], [f"--{flag.name}", value]]))
    return words


@given(lines(PLAIN))
def test_each_flag_with_a_value_is_accepted_and_read_as_invoke_reads_it(words: list[str]) -> None:
    command = read(words, COMMANDS)
    assert as_read(command) == as_invoke_reads(words, command)


FLAGS = sorted({f"--{flag.name}" for flags in COMMANDS.values() for flag in flags})
WORDS = st.sampled_from([*FLAGS, *COMMANDS, "-e", "-R", "--dry", "-c", "-cx", "-wp", "x=1"])


@given(st.one_of(lines(PLAIN | ODD), st.lists(WORDS | PLAIN | ODD, max_size=6)))
def test_whatever_is_accepted_invoke_reads_in_the_same_way(words: list[str]) -> None:
    try:
        command = read(words, COMMANDS)
    except UserError:
        return
    if not command.answer:
        assert as_read(command) == as_invoke_reads(words, command)
