"""What people read of deployments of the past."""

from __future__ import annotations

from functools import partial

from sagepack.api import results
from sagepack.cli import diff_table
from sagepack.cli.layout import Block, Span
from sagepack.cli.screens.parts import commit_of, done_line, fact_lines, itemized, lines, readable_time


@lines.register(results.Releases)
def _releases(result: results.Releases) -> list[Block]:
    shown: list[Block] = []
    numbers = {
        each.record: f"release {number}, of {readable_time(each.time)}"
        for number, each in enumerate(result.deployments, 1)
    }
    serving = next((each for each in result.deployments if each.config == result.serves), None)
    for number, each in enumerate(result.deployments, 1):
        facts = {
            "by": each.by,
            "commit": commit_of(each),
            "config": each.config,
            "model": each.model,
            "package": each.manifest,
            "smoke": each.smoke and each.smoke.summary,
            "promoted": each.promoted_from and f"from {each.promoted_from.env}, {each.promoted_from.record}",
            "repeats": each.rolled_back_to and numbers.get(each.rolled_back_to, each.rolled_back_to),
        }
        known = {name: text for name, text in facts.items() if text}
        serves = ", serves" if each is serving else ""
        shown += [(Span(f"{number}  {readable_time(each.time)}{serves}", "bold"),), fact_lines(known, wrap=True)]
    shown += [partial(itemized, f"cannot be read: {record}") for record in result.unreadable]
    return shown or [partial(itemized, f"no release is recorded under {result.location}")]


@lines.register(results.Diff)
def _diff(result: results.Diff) -> list[Block]:
    return diff_table.blocks(result)


@lines.register(results.Rollback)
def _rollback(result: results.Rollback) -> list[Block]:
    if result.diff is not None:
        return diff_table.blocks(result.diff)
    done = f"endpoint {result.endpoint} serves {result.config} again"
    if not result.changes:
        done = f"nothing to do: endpoint {result.endpoint} serves {result.config}"
    facts = {"model": result.model, "commit": result.commit, "record": result.record}
    untried = ["it was not tried: nobody has sent it the sample"] if result.changes else []
    return [done_line(done), fact_lines({name: text for name, text in facts.items() if text}), *untried]
