"""What people read of a result: its lines, one function for each kind.

A function returns `layout.Block`s: plain text is a line as it stands; spans of text have a look; a function gets the screen
and returns lines that fit it.
"""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Mapping
from functools import partial, singledispatch
from typing import TYPE_CHECKING

from msgspec import to_builtins

from sagepack.api import results
from sagepack.cli import check_table, diff_table, fleet_table, plan_table, scan_table
from sagepack.cli.layout import Block, Screen, Span, padded, wrapped
from sagepack.cli.output import as_called, problem
from sagepack.deploy.preflight.check import STALE_UPLOADS
from sagepack.text import counted, format_bytes, format_duration, format_usd, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.cli.layout import Line

_SHOWN_FILES = 3
_SERVING = {"InService", "Updating", "SystemUpdating", "RollingBack"}
_DIFF_LOOKS = {"+": "green", "-": "red", "@": "dim"}
_DIGEST_AT = 9  # the column that lets a digest with its algorithm fit 80 columns


@singledispatch
def lines(result: object) -> list[Block]:
    """The lines of a result, for stdout."""
    raise TypeError(type(result))


@lines.register(results.Validated)
def _validated(result: results.Validated) -> list[Block]:
    return [_done(f"{result.config} is valid for {result.env}")]


@lines.register(results.Initialized)
def _initialized(result: results.Initialized) -> list[Block]:
    shown: list[Block] = [_done(f"wrote {path}") for path in result.files]
    shown += ["", f"The model, for {result.task}:", *(partial(_wrapped, line, bullet="- ") for line in result.seen)]
    shown += ["", partial(_wrapped, f"Assumed, to be changed in {result.spec}:")]
    shown += [partial(_wrapped, as_called(note), bullet="- ") for note in result.assumptions]
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
    pinned = [_done(f"the commit is written into {result.pinned}")] if result.pinned else []
    added = {"packages": _added(result.packages)} if result.packages else {}
    about = {"licence": _licence(result)} if result.license else {}
    if result.accepted:
        about["scan"] = f"accepted what was found in {one_of(result.accepted)}"
    return [*pinned, _done(f"{result.path} {how}"), _facts({**origin, "files": files, **about, **added}, wrap=True)]


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
        return [_done(f"wrote {result.path}")]
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
    return [*shown, _facts(facts)]


@lines.register(results.Verified)
def _verified(result: results.Verified) -> list[Block]:
    archive = result.archive
    how = "is as its manifest says, and a rebuild gave the same bytes" if result.rebuilt else "is as its manifest says"
    facts = {"files": f"{result.files}, {format_bytes(archive.size)}", "sha256": archive.sha256}
    return [_done(f"{archive.path} {how}"), _facts(facts)]


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
    notes = [partial(_wrapped, f"not compared: {note}") for note in result.not_compared]
    if result.earlier:
        text = f"of another lock with the same files: {' and '.join(result.earlier)}; delete what is to be written again, and run `invoke upload`"
        notes.append(partial(_wrapped, as_called(text)))
    return [_done(f"{result.artifact}: {how}"), _facts(facts), *notes]


@lines.register(results.Sbom)
def _sbom(result: results.Sbom) -> list[Block]:
    return [*json.dumps(result.document, indent=1, ensure_ascii=False).split("\n")]  # as it is published


@lines.register(results.Signed)
def _signed(result: results.Signed) -> list[Block]:
    facts = {"key": f"{result.key} ({result.hint[:16]}...)", "manifest": result.manifest}
    if not result.changed:
        return [_done(f"{result.artifact} is signed by this signer already"), _facts(facts)]
    facts["before"] = f"signed by {result.before}" if result.before else "not signed by a key that counts"
    facts["read"] = format_bytes(result.bytes_read) if result.bytes_read else "nothing of the model"
    return [_done(f"{result.artifact} is signed"), _facts(facts)]


@lines.register(results.Answer)
def _answer(result: results.Answer) -> list[Block]:
    return _saved(result)


def _saved(result: results.Answer | results.Served) -> list[Block]:
    """An answer in files."""
    if not result.files:
        return []
    if result.text is not None:
        shown: list[Block] = [*result.text.splitlines(), f"saved as {result.files[0]}"]
    elif len(result.files) > _SHOWN_FILES:
        (folder, _, first), (*_, last) = (path.rpartition("/") for path in (result.files[0], result.files[-1]))
        shown = [partial(_wrapped, f"{len(result.files)} files in {folder}/: {first} to {last}")]
    else:
        shown = list(result.files)
    if isinstance(result, results.Answer):
        shown.append(partial(_wrapped, _timing(result.timing)))
    if result.miniature:
        shown.append(
            partial(
                _wrapped,
                "the sandbox's miniature of the model answered: that shows that the way works, not what the model can do",
            )
        )
    return shown


def _timing(timing: results.Timing) -> str:
    """Where the time of a request went."""
    sent = "sent before" if timing.sending is None else f"sent in {timing.sending:.1f} s"
    return f"{sent}, answered after {timing.waiting:.1f} s, downloaded in {timing.download:.1f} s"


@lines.register(results.EndpointStatus)
def _endpoint_status(result: results.EndpointStatus) -> list[Block]:
    if result.state is None:
        return [f"there is no endpoint {result.endpoint}"]
    serves = result.state in _SERVING
    state = f"endpoint {result.endpoint} is {result.state} since {_readable(result.since)}"
    head = _done(state) if serves else partial(_wrapped, state)
    model = result.model or "none: its configuration was deleted, and no further instance can start"
    if result.model and not result.model_exists:
        model += ", which was deleted: no further instance can start"
    facts = [
        ("reason", result.reason),
        ("instances", _instances(result)),
        ("cost", _cost(result)),
        ("scaling", _scaling(result)),
        ("schedule", _scheduled(result.next_scheduled)),
        ("activity", _activity(result.activity)),
        ("backlog", _backlog(result)),
        *(("alarm", _alarm(alarm)) for alarm in result.alarms if _needs_a_look(alarm)),
        ("alarms", _quiet(result.alarms)),
        *(("failure", _failure(each)) for each in result.failures),
        ("managed", result.managed_by and f"by {result.managed_by}, which alone changes it"),
        ("config", result.config),
        ("update", result.next_config and f"to {result.next_config}"),
        ("model", model),
        ("package", result.manifest),
        ("image", result.image),
        ("deployed", result.release and f"{_readable(result.release.time)} by {result.release.by}"),
        ("commit", result.release and _commit(result.release)),
        ("smoke", result.release and result.release.smoke and result.release.smoke.summary),
        ("arn", result.arn),
        ("console", result.console),
        ("log", result.log),
    ]
    unknown = [partial(_wrapped, f"not known: {text}") for text in result.unknown]
    return [head, _facts([(name, text) for name, text in facts if text], wrap=True), *unknown]


def _instances(result: results.EndpointStatus) -> str:
    if result.instances is None:
        return "not known yet"
    wanted = result.desired_instances
    aim = f", to be {wanted}" if wanted not in (None, result.instances) else ""
    kinds = result.instance_type or ", ".join(
        f"{pool.instances} {pool.instance_type}" for pool in result.instance_pools
    )
    return f"{result.instances}{aim}" + (f" ({kinds})" if kinds else "")


def _cost(result: results.EndpointStatus) -> str | None:
    if result.cost_per_hour is None:
        return None
    if result.instances and not result.cost_per_hour:
        return "nothing: it is in the sandbox"
    return f"{format_usd(result.cost_per_hour)} an hour" + ("" if result.instances else " while it sleeps")


def _backlog(result: results.EndpointStatus) -> str | None:
    if result.backlog is not None:
        return counted(result.backlog, "request")
    return None if result.unknown else "CloudWatch has no data now"


def _scaling(result: results.EndpointStatus) -> str:
    if result.most_instances is None:
        return "none: the number of instances stays"
    bounds = f"{result.fewest_instances} to {result.most_instances} instances"
    return f"{bounds}, by {' and '.join(result.policies) or 'no policy: nothing changes their number'}"


def _scheduled(bounds: results.ScheduledBounds | None) -> str | None:
    if bounds is None:
        return None
    low, high = bounds.fewest_instances, bounds.most_instances
    limits = [
        f"{words} {counted(count, 'instance')}"
        for words, count in (("at least", low), ("at most", high))
        if count is not None
    ]
    return f"from {_readable(bounds.time)} {' and '.join(limits)} ({bounds.name})"


def _activity(activity: results.ScalingActivity | None) -> str | None:
    return f"{_readable(activity.time)} {activity.status}: {activity.message}" if activity else None


def _needs_a_look(alarm: results.AlarmState) -> bool:
    return alarm.state == "ALARM" or not alarm.acts


def _quiet(alarms: Sequence[results.AlarmState]) -> str | None:
    """How many alarms are as they should be: `5 others: 3 OK, 2 INSUFFICIENT_DATA`."""
    counts = Counter(alarm.state for alarm in alarms if not _needs_a_look(alarm))
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), reverse=True))
    if len(alarms) == counts.total():
        return f"none is in ALARM: {states}" if alarms else None
    return f"{counted(counts.total(), 'other')}: {states}" if counts else None


def _alarm(alarm: results.AlarmState) -> str:
    since = f" since {_readable(alarm.since)}: {alarm.reason}" if alarm.state == "ALARM" and alarm.since else ""
    return f"{alarm.name}: {alarm.state}{since}" + ("" if alarm.acts else ", and its actions are disabled")


def _failure(failed: results.RequestFailure) -> str:
    known = f" ({failed.failure})" if failed.failure else ""
    return f"{_readable(failed.time)} {failed.message}{known}; {failed.location}"


def _readable(moment: str | None) -> str:
    """A time of a result, for people: `2026-01-02 03:04:05 UTC`."""
    return (moment or "an unknown time").replace("T", " ").replace("Z", " UTC")


@lines.register(results.Log)
def _log(result: results.Log) -> list[Block]:
    if not result.exists:
        text = f"no container of endpoint {result.endpoint} has written a log: there is no log group {result.group}"
        return [partial(_wrapped, text)]
    if not result.lines:
        text = f"no container of endpoint {result.endpoint} wrote anything since {_readable(result.since)}; --since 7d goes back further"
        return [partial(_wrapped, text)]
    several = len({line.instance for line in result.lines}) > 1
    first = [f"({counted(result.left_out, 'earlier line')} left out)"] if result.left_out else []
    return [*first, *(log_line(line, several=several) for line in result.lines)]


def log_line(line: results.LogLine, *, several: bool) -> str:
    """A line of a container, which usually begins with the time; of several instances, with its own."""
    return f"{line.instance} {line.text}" if several else line.text


@lines.register(results.Releases)
def _releases(result: results.Releases) -> list[Block]:
    shown: list[Block] = []
    numbers = {
        each.record: f"release {number}, of {_readable(each.time)}" for number, each in enumerate(result.deployments, 1)
    }
    serving = next((each for each in result.deployments if each.config == result.serves), None)
    for number, each in enumerate(result.deployments, 1):
        facts = {
            "by": each.by,
            "commit": _commit(each),
            "config": each.config,
            "model": each.model,
            "package": each.manifest,
            "smoke": each.smoke and each.smoke.summary,
            "promoted": each.promoted_from and f"from {each.promoted_from.env}, {each.promoted_from.record}",
            "repeats": each.rolled_back_to and numbers.get(each.rolled_back_to, each.rolled_back_to),
        }
        known = {name: text for name, text in facts.items() if text}
        serves = ", serves" if each is serving else ""
        shown += [(Span(f"{number}  {_readable(each.time)}{serves}", "bold"),), _facts(known, wrap=True)]
    shown += [partial(_wrapped, f"cannot be read: {record}") for record in result.unreadable]
    return shown or [partial(_wrapped, f"no release is recorded under {result.location}")]


def _commit(deployed: results.Deployed) -> str:
    commit = deployed.commit or "not known: the project is in no git repository"
    return f"{commit} and changes that were not committed" if deployed.clean is False else commit


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
    return [_done(done), _facts({name: text for name, text in facts.items() if text}), *untried]


@lines.register(results.Followed)
def _followed(_result: results.Followed) -> list[Block]:
    return []


@lines.register(results.Answers)
def _answers(result: results.Answers) -> list[Block]:
    alike: dict[str, list[results.FailedRequest]] = {}
    for failed in result.failed:
        alike.setdefault(failed.message, []).append(failed)
    shown: list[Block] = []
    for message, (first, *others) in alike.items():
        more = f" and {len(others)} more" if others else ""
        shown.append(partial(_wrapped, f"{first.request}{more}: {message}; {first.location}", bullet="- "))
    counts = [f"{result.answered} answered"]
    counts += [f"{result.before} answered before"] if result.before else []
    counts += [f"{len(result.failed)} failed"] if result.failed else []
    summary = f"{counted(result.requests, 'request')}: {', '.join(counts)}; the answers are in {result.folder}/"
    return [*shown, partial(_wrapped, summary)]


_NO_ENDPOINT = "nothing to do: endpoint {} and its parts do not exist"


@lines.register(results.ToDestroy)
def _to_destroy(result: results.ToDestroy) -> list[Block]:
    shown = _listed("would remove", [f"{each.kind} {each.name}" for each in result.resources])
    nothing = [_done(_NO_ENDPOINT.format(result.endpoint))] if not shown else []
    return [*nothing, *shown, *_staying(result.kept, result.left, result.notes)]


@lines.register(results.Destroyed)
def _destroyed(result: results.Destroyed) -> list[Block]:
    removed = counted(len(result.removed), "resource")
    head = _done(f"removed {removed}" if result.removed else _NO_ENDPOINT.format(result.endpoint))
    shown = [head, *_staying(result.kept, result.left, result.notes)]
    if result.left and result.cost_per_month:
        shown.append(partial(_wrapped, f"what stays costs about {format_usd(result.cost_per_month)} a month"))
    return shown


def _staying(kept: Sequence[results.KeptResource], left: Sequence[results.Left], notes: Sequence[str]) -> list[Block]:
    """What a removal of an endpoint leaves."""
    texts = [f"{each.kind} {each.name}: {each.reason}" for each in kept]
    for each in left:
        size = f", {format_bytes(each.size)}{_monthly(each.cost_per_month)}" if each.size is not None else ""
        texts.append(f"{each.kind} {each.name}{size}: {each.remove}")
    return [*_listed("stays", [as_called(text) for text in texts]), *(partial(_wrapped, note) for note in notes)]


@lines.register(results.Woken)
def _woken(result: results.Woken) -> list[Block]:
    having = f"endpoint {result.endpoint} is awake, with {counted(result.instances, 'instance')}"
    again = "automatic scaling lets it sleep again when it had no request for a while, which takes 15 minutes or more"
    stays = "it stays awake: nothing lets it sleep by itself"
    head = having if result.changed else f"nothing to do: {having}"
    return [_done(head), partial(_wrapped, again if result.sleeps_again else stays)]


@lines.register(results.Asleep)
def _asleep(result: results.Asleep) -> list[Block]:
    sleeps = f"endpoint {result.endpoint} sleeps; a request wakes it"
    shown = [_done(sleeps if result.changed else f"nothing to do: {sleeps}")]
    if result.queued:
        shown.append(partial(_wrapped, f"{counted(result.queued, 'request')} in its queue or running: it wakes again"))
    return shown


@lines.register(results.Cleaned)
def _cleaned(result: results.Cleaned) -> list[Block]:
    return [_done(f"removed {', '.join(result.removed)}" if result.removed else "nothing to remove")]


@lines.register(results.Doctor)
def _doctor(result: results.Doctor) -> list[Block]:
    shown: list[Block] = []
    for check in result.checks:
        shown.append(partial(check_table.check_lines, check))
        if check.id == STALE_UPLOADS:
            shown += [partial(_wrapped, upload_line(upload), bullet="    ") for upload in result.stale_uploads]
    return [*shown, "", check_table.summary(result.checks)]


@lines.register(results.FleetRun)
def _fleet_run(result: results.FleetRun) -> list[Block]:
    return fleet_table.blocks(result)


@lines.register(results.FleetMatrix)
def _fleet_matrix(result: results.FleetMatrix) -> list[Block]:
    return [json.dumps(to_builtins(result))]


@lines.register(results.Garbage)
def _garbage(result: results.Garbage) -> list[Block]:
    shown = [*_removal("would remove", result.removable), *_kept("stays", result.kept)]
    summary = _amount(result.removable, result.size, result.cost_per_month)
    if summary:
        shown.append(partial(_wrapped, f"would remove {summary}"))
    elif not result.unknown:
        shown.append(_done(_NO_GARBAGE))
    return [*shown, *_unseen(result.unknown, result.notes)]


@lines.register(results.Collected)
def _collected(result: results.Collected) -> list[Block]:
    shown = [*_removal("removed", result.removed), *_kept("kept after all", result.spared)]
    summary = _amount(result.removed, result.size, result.cost_per_month)
    if summary or not result.unknown:
        shown.append(_done(f"removed {summary}" if summary else _NO_GARBAGE))
    if result.versions_stay:
        text = "the bucket keeps earlier versions of what was deleted, which cost as before: a lifecycle rule with NoncurrentVersionExpiration removes them"
        shown.append(partial(_wrapped, text))
    return [*shown, *_unseen(result.unknown, result.notes)]


_NO_GARBAGE = "nothing to do: there is nothing old enough that nobody needs"


def _removal(head: str, found: Sequence[results.Removable]) -> list[Block]:
    """What is removed, and why."""
    texts = []
    for each in found:
        what = f"{counted(each.count, 'object')} of {each.kind}" if each.count > 1 else each.kind
        size = f", {format_bytes(each.size)}{_monthly(each.cost_per_month)}" if each.size else ""
        texts.append(f"{what} {each.name}{size}: {each.reason}")
    return _listed(head, texts)


def _kept(head: str, kept: Sequence[results.KeptPackage]) -> list[Block]:
    return _listed(head, [f"package {each.location}: {each.reason}" for each in kept])


def _listed(head: str, texts: Sequence[str]) -> list[Block]:
    return [head, *(partial(_wrapped, text, bullet="- ") for text in texts)] if texts else []


def _amount(found: Sequence[results.Removable], size: int, cost: float | None) -> str:
    """How much it is; empty if it is nothing."""
    return (
        f"{counted(sum(each.count for each in found), 'item')}, {format_bytes(size)}{_monthly(cost)}" if found else ""
    )


def _monthly(cost: float | None) -> str:
    return "" if cost is None else f", {format_usd(cost)} a month"


def _unseen(unknown: Sequence[str], notes: Sequence[str]) -> list[Block]:
    """What is not known; without it nothing is removed that it could be about."""
    texts = [
        f"packages, models and configurations stay, since it is not known who needs them: {text}" for text in unknown
    ]
    return [partial(_wrapped, text) for text in (*texts, *notes)]


@lines.register(results.Policy)
def _policy(result: results.Policy) -> list[Block]:
    return [*json.dumps(result.document, indent=2).splitlines()]


@lines.register(results.Reported)
def _reported(result: results.Reported) -> list[Block]:
    shown = [partial(_wrapped, f"not known: {line}", bullet="- ") for line in result.unknown]
    return [partial(_wrapped, result.headline), *shown, _done(f"wrote {result.path}, {format_bytes(result.size)}")]


@lines.register(results.Exported)
def _exported(result: results.Exported) -> list[Block]:
    if result.folder is None:
        return [line for file in result.files for line in (file.text or "").splitlines()]
    if result.checked:
        return _compared(result)
    shown: list[Block] = [
        _done(f"wrote {file.path}" if file.state == "written" else f"{file.path} is up to date")
        for file in result.files
    ]
    if result.published is False:
        shown.append(
            problem(
                "warning",
                ["the package is not in S3 yet, or not all of it", "  run `invoke upload` before you make this"],
            )
        )
    shown += ["", partial(_wrapped, f"To know (it is in {result.files[-1].path}, too):")]
    shown += [partial(_wrapped, as_called(each), bullet="- ") for each in result.limits]
    shown += ["", (Span("next:", "dim"),), (Span(f"  cd {shlex.quote(result.folder)}", "bold"),)]
    return [*shown, *(partial(_command, command) for command in result.next)]


def _command(command: str, screen: Screen) -> list[Line]:
    """A command of words without spaces, to be copied as it stands, however many lines it takes."""
    *first, last = wrapped(command, screen.width - 8, divide=False)
    lines = [*(f"{line} \\" for line in first), last]
    return [(Span(f"{'      ' if number else '  '}{line}", "bold"),) for number, line in enumerate(lines)]


def _compared(result: results.Exported) -> list[Block]:
    """What `export --check` found."""
    if result.is_current:
        return [_done(f"{result.folder} is what the spec says")]
    said = {
        "changed": "is not what the spec says",
        "missing": "is missing",
        "other": "was made by an export of another format, spec or environment",
        "foreign": "was made by no export",
    }
    shown: list[Block] = []
    for file in result.files:
        if file.state in said:
            shown.append(partial(_wrapped, f"{file.path} {said[file.state]}"))
            shown += [(Span(line, _DIFF_LOOKS.get(line[:1], "")),) for line in file.diff]
    if any(file.state in {"other", "foreign"} for file in result.files):
        fix = "name another folder with --output, or move away what `invoke export` did not make: it overwrites nothing of others"
    else:
        fix = "the same command without --check writes it again"
    return [*shown, partial(_wrapped, as_called(fix))]


@lines.register(results.ServingStack)
def _serving_stack(result: results.ServingStack) -> list[Block]:
    return [_done(f"the serving stack is installed: `serve` and endpoints of the sandbox use {result.python}")]


@lines.register(results.Served)
def _served(result: results.Served) -> list[Block]:
    if result.untried:
        head: Block = partial(_wrapped, f"{result.package} started, which proves nothing: {result.untried}")
    else:
        how = "answers as expected" if result.as_expected else "answered"
        head = _done(f"{result.package} {how} under the image's server")
    facts = {"start": format_duration(result.start_seconds), "model": format_duration(result.load_seconds)}
    if result.answers:
        times = " and ".join(format_duration(answer.seconds) for answer in result.answers)
        facts["answers" if len(result.answers) > 1 else "answer"] = f"{times}, {format_bytes(result.answers[0].size)}"
    return [head, _facts(facts), *_saved(result)]


def kept(url: str, commands: Sequence[str], *, watch: bool = False) -> list[Block]:
    """What is said of a server that goes on, with the commands that send a request to it."""
    more = ["each edit of the code that is saved is served at once"] if watch else []
    return ["", f"it listens at {url} until Ctrl-C", *more, *(f"  {command}" for command in commands)]


def edit(found: results.Edit) -> list[Block]:
    """What came of an edit."""
    warned = [problem("warning", lines) for lines in found.warnings]
    changed = ", ".join(found.files[:_SHOWN_FILES]) + (" ..." if len(found.files) > _SHOWN_FILES else "")
    if found.error:
        head: Block = partial(_wrapped, f"{changed}: not served; the code from before serves")
        return [head, *warned, problem("error", found.error)]
    said = [*warned, *(f"| {line}" for line in found.log)]
    taken = f"served after {format_duration(found.seconds)}, {found.model}"
    if found.answer is None:
        return [*said, _done(f"{changed}: {taken}")]
    answer = f"answers as expected, {format_bytes(found.answer.size)} in {format_duration(found.answer.seconds)}"
    return [*said, _done(f"{changed}: {taken}; {answer}")]


@lines.register(results.SandboxStatus)
def _sandbox_status(result: results.SandboxStatus) -> list[Block]:
    if not result.running:
        return ["the sandbox does not run"]
    places = {"Hub": result.hub or "", "AWS": result.aws or "", "log": result.log or ""}
    return [f"the sandbox runs as process {result.pid}", _facts(places)]


@lines.register(results.SandboxStopped)
def _sandbox_stopped(result: results.SandboxStopped) -> list[Block]:
    return ["the sandbox has ended" if result.stopped else "the sandbox did not run"]


@lines.register(results.SandboxModel)
def _sandbox_model(result: results.SandboxModel) -> list[Block]:
    revision = f'"{result.revision}"' if result.revision.isdigit() else result.revision
    head = f"{result.id} is in the sandbox's Hub, and will be after a restart. Write into the spec:"
    return [_done(head), "", "model:", f"  id: {result.id}", f"  revision: {revision}"]


@lines.register(results.SandboxEnvironment)
def _sandbox_environment(result: results.SandboxEnvironment) -> list[Block]:
    exports = [f"export {name}={shlex.quote(value)}" for name, value in result.export.items()]
    return [f"unset {' '.join(result.unset)}", *exports]


def upload_line(upload: results.Upload) -> str:
    """An unfinished upload, as one line."""
    return f"{upload.location}, begun {upload.initiated or 'at an unknown time'}"


def _done(text: str) -> Block:
    """Something that is as it should be."""

    def block(screen: Screen) -> list[Line]:
        sign = screen.glyph("ok")
        if not sign:
            return [text]
        first, *rest = wrapped(text, screen.width - 2, divide=False)
        return [(Span(f"{sign} ", "green"), Span(first)), *(f"  {line}" for line in rest)]

    return block


def _facts(facts: Mapping[str, str] | Sequence[tuple[str, str]], *, wrap: bool = False) -> Block:
    """Names and values, one under the other; values that are sentences wrap, those that are copied stay whole."""
    rows = list(facts.items()) if isinstance(facts, Mapping) else facts
    longest = max((len(name) for name, _ in rows), default=0)
    width = max(longest + 1, min(longest + 2, _DIGEST_AT))

    def block(screen: Screen) -> list[Line]:
        shown: list[Line] = []
        for name, value in rows:
            first, *rest = wrapped(value, screen.width - width, divide=False) if wrap else [value]
            shown += [(Span(padded(name, width), "dim"), Span(first)), *(" " * width + line for line in rest)]
        return shown

    return block


def _wrapped(text: str, screen: Screen, bullet: str = "") -> list[Line]:
    first, *rest = wrapped(text, screen.width - len(bullet), divide=False)
    return [bullet + first, *(" " * len(bullet) + line for line in rest)]
