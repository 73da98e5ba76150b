"""The page: what is known, as one HTML document that loads nothing.

Whatever comes from outside is text: Jinja escapes every value that is not markup of this package, and `printable` shows what
a browser would hide or obey.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from sagepack.api.graph import svg
from sagepack.api.graph.words import amounts, why
from sagepack.api.report import charts, glance, origins, words
from sagepack.decoding import Value
from sagepack.text import counted, format_bytes, format_duration, format_usd
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sagepack.api.report.facts import Facts
    from sagepack.api.report.last_run import LastRun
    from sagepack.api.report.origins import Source, Way
    from sagepack.api.report.words import Part

MARK = '<meta name="generator" content="sagepack report">'
"""What every report has within its first `files.HEAD_BYTES`, and no other file."""
_TEMPLATES = Path(__file__).parents[2] / "templates" / "report"
_LARGEST = 10  # files that the picture shows
_ROWS = 25  # of a table of specs: a browser draws those tables that are seen
_BADGES = {"done": "good", "running": "sub", "no run": "sub", **dict.fromkeys(words.TROUBLE, "bad")}


class Picture(Value, frozen=True):
    """A picture for each width of page."""

    desk: Markup
    phone: Markup

    @classmethod
    def of(cls, chart: charts.Chart) -> Picture:
        """The picture, drawn."""
        drawn = charts.draw(chart)
        return cls(*(Markup(drawn[size]) for size in ("desk", "phone")))  # noqa: S704 - shapes and escaped texts alone


def spec_page(facts: Facts, made: datetime) -> str:
    """The page about one spec.

    Args:
        facts: what is known.
        made: now, in UTC.
    """
    run = facts.run
    package = facts.manifest.size if facts.manifest else 0
    ways = origins.ways(run, package) if run else ()
    return _filled(
        "spec.html",
        made,
        facts=facts,
        run=run,
        outcome=words.outcome(run) if run else None,
        is_trouble=words.state(facts) in words.TROUBLE,
        glance=glance.lines(facts),
        headline=words.headline(run) if run else None,
        because=words.because(run) if run else (),
        parts=words.parts(run) if run else (),
        timeline=Picture.of(_timeline(run)) if run and run.seconds else None,
        graph=_graph(facts),
        actions=(run.actions if run else facts.plan),
        serving=_serving(facts),
        ways=ways,
        ways_picture=Picture.of(_ways(ways)) if ways else None,
        files=_files(facts),
        files_picture=Picture.of(_largest(facts)) if facts.manifest else None,
    )


def fleet_page(members: Sequence[Facts], made: datetime) -> str:
    """The page about several specs."""
    runs = sorted(((each, each.run) for each in members if each.run), key=lambda pair: -pair[1].seconds)
    return _filled(
        "fleet.html",
        made,
        members=members,
        headline=words.fleet_headline(members),
        moved=words.fleet_moved(members),
        trouble=[each for each in members if words.state(each) in words.TROUBLE],
        most_trouble=_LARGEST,
        rows=_ROWS,
        picture=Picture.of(_longest_runs(runs[:_LARGEST])) if runs else None,
    )


def _timeline(run: LastRun) -> charts.Chart:
    parts = words.parts(run)
    most = max(run.seconds, *(part.begun + part.seconds for part in parts))
    unit, name = _clock(most)
    rows = list[charts.Row]()
    for part in parts:
        bar = charts.Bar(part.begun / unit, (part.begun + part.seconds) / unit, _kind(part, run))
        rows.append(
            charts.Row(_label(part.name, part.seconds, run), (bar,), words.moved(part.step) if part.step else "")
        )
        for each in words.within(part, run):
            bar = charts.Bar(each.begun / unit, min(each.begun + each.seconds, most) / unit, "waiting")
            rows.append(charts.Row(_label(f"· {each.label}", each.seconds, run), (bar,)))
    said = "; ".join(", ".join(filter(None, (row.label, row.more))) for row in rows)
    return charts.Chart(f"Timeline of the last run: {said}", name, tuple(rows), most / unit)


def _label(name: str, seconds: float, run: LastRun) -> str:
    share = f"{words.share(seconds, run):.0%}".replace("%", " %")
    return f"{name}: {format_duration(seconds)} ({share})"


def _kind(part: Part, run: LastRun) -> str:
    if part.step is None:
        return "waiting"
    return "step" if part.step.succeeded or (run.goes_on and part.step.succeeded is None) else "broken"


def _ways(ways: Sequence[Way]) -> charts.Chart:
    most = max(way.size for way in ways)
    unit, name = _unit(most)
    rows = list[charts.Row]()
    for way in ways:
        rows.append(_stacked(f"{way.to}: {format_bytes(way.size)}", way.sources, unit))
        rows += [_stacked(f"· {format_bytes(each.size)}  {each.name}", each.sources, unit) for each in way.files]
    said = "; ".join(
        f"{way.to}: {', '.join(f'{format_bytes(source.size)} {source.words}' for source in way.sources)}"
        for way in ways
    )
    return charts.Chart(f"Where the bytes came from: {said}", name, tuple(rows), most / unit)


def _stacked(label: str, sources: Sequence[Source], unit: int) -> charts.Row:
    return charts.stacked(label, [(source.kind, source.size / unit) for source in sources])


def _largest(facts: Facts) -> charts.Chart:
    members = sorted(facts.manifest.members if facts.manifest else (), key=lambda each: (-each.size, each.path))
    shown, others = members[:_LARGEST], members[_LARGEST:]
    unit, name = _unit(max((each.size for each in shown), default=0))
    rows = [
        charts.Row(f"{format_bytes(each.size)}  {each.path}", (charts.Bar(0, each.size / unit, "step"),))
        for each in shown
    ]
    if others:
        size = sum(each.size for each in others)
        label = f"{format_bytes(size)}  the {counted(len(others), 'other file')}"
        rows.append(charts.Row(label, (charts.Bar(0, size / unit, "waiting"),)))
    most = max((bar.end for row in rows for bar in row.bars), default=1.0)
    named = ", ".join(row.label for row in rows[:3])
    return charts.Chart(f"The largest files: {named}", name, tuple(rows), most)


def _longest_runs(runs: Sequence[tuple[Facts, LastRun]]) -> charts.Chart:
    """The runs, the longest first."""
    most = runs[0][1].seconds
    unit, name = _clock(most)
    rows = tuple(
        charts.Row(
            f"{each.name} in {each.env}: {format_duration(run.seconds)}",
            (charts.Bar(0, run.seconds / unit, "step" if words.outcome(run) not in words.TROUBLE else "broken"),),
            words.longest(run),
        )
        for each, run in runs
    )
    return charts.Chart(f"The longest runs: {'; '.join(row.label for row in rows)}", name, rows, most / unit)


def _clock(most: float) -> tuple[int, str]:
    """What an axis of time counts, in seconds, and what that is called."""
    return (3600, "hours") if most >= 3 * 3600 else (60, "minutes") if most >= 5 * 60 else (1, "seconds")


def _unit(most: float) -> tuple[int, str]:
    """What an axis of bytes counts, and what that is called."""
    for power, name in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if most >= 1 << power:
            return 1 << power, name
    return 1, "bytes"


def _graph(facts: Facts) -> Markup | None:
    planned = {action.step: action for action in (facts.run.actions if facts.run else facts.plan)}
    needs = {
        step: tuple(need for need in needed if need in planned)
        for step, needed in facts.needs.items()
        if step in planned
    }
    if not needs:
        return None
    title = f"The steps of {facts.name} in {facts.env}"
    drawn = svg.document(title, [planned[step] for step in needs], needs)
    return Markup(drawn)  # noqa: S704 - ElementTree wrote it


def _serving(facts: Facts) -> int | None:
    """The place of the newest release whose configuration serves; an older one of the same configuration served before."""
    if facts.releases is None:
        return None
    configs = [each.config for each in facts.releases.deployments]
    return configs.index(facts.releases.serves) if facts.releases.serves in configs else None


def _files(facts: Facts) -> list[tuple[str, int, str]]:
    """All files: path, bytes, and whether they are of the model."""
    if facts.manifest is None:
        return []
    of_model = {file.path for file in facts.lock.files} if facts.lock else set()
    members = sorted(facts.manifest.members, key=lambda each: (-each.size, each.path))
    return [(each.path, each.size, "model" if each.path in of_model else "code") for each in members]


def _filled(template: str, made: datetime, **known: Any) -> str:
    page = _environment().get_template(template)
    return page.render(made=made, sagepack=__version__, **known)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        finalize=_finalized,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": format_bytes,
        "duration": format_duration,
        "usd": format_usd,
        "moment": _moment,
        "share": lambda seconds, run: f"{words.share(seconds, run):.0%}".replace("%", "\N{NO-BREAK SPACE}%"),
        "code": _code,
    }
    environment.globals |= {
        "counted": counted,
        "words": words,
        "why": why,
        "amounts": amounts,
        "badges": _BADGES,
        "mark": Markup(MARK),  # noqa: S704 - of this module
        "style": Markup((_TEMPLATES / "style.css").read_text(encoding="utf-8")),  # noqa: S704 - of this package
    }
    return environment


def _finalized(value: Any) -> Any:
    """A value of a template as the page shows it."""
    return charts.fit(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _code(text: str) -> Markup:
    """A text in which what stands between back quotes is code."""
    pieces = charts.fit(text).split("`")
    made = Markup()
    for number, piece in enumerate(pieces):
        made += Markup("<code>{}</code>").format(piece) if number % 2 and number < len(pieces) - 1 else piece
    return made


def _moment(time: datetime | str) -> str:
    """A time, in UTC and whole seconds, with a space between day and time."""
    text = time if isinstance(time, str) else f"{time:%Y-%m-%dT%H:%M:%SZ}"
    return text[:19].replace("T", " ") + " UTC"
