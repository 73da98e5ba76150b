"""Asks this disk, and the services if they can be reached, for what a report says. What cannot be found out is said, and no error."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sagepack.api import live
from sagepack.api.costs import Costs
from sagepack.api.report import last_run
from sagepack.api.report.facts import Facts
from sagepack.api.session import Selection, load
from sagepack.aws.session import AccessDeniedError
from sagepack.engine import executor, preflight
from sagepack.engine.steps import STEPS
from sagepack.engine.workspace import Workspace
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.files import is_locked
from sagepack.package.lock import Lock
from sagepack.publish.keys import Package
from sagepack.publish.remote_read import NotPublishedError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.api import results
    from sagepack.engine.context import BuildContext

_RELEASES = 20
_NO_RUN = "no run is known on this machine"


def of_spec(context: BuildContext, config: str, verify: Callable[[BuildContext], results.VerifiedRemote]) -> Facts:
    """What is known of a spec, on this machine and at the services.

    Args:
        context: of a run to `deploy`, of which no step runs.
        config: the spec's file, as messages name it.
        verify: checks what S3 holds of the package.
    """
    found = _on_this_disk(context.work, Facts(config, context.spec.name, context.spec.env, context.spec.sandbox))
    found = replace(found, instance_type=context.spec.endpoint.instance_type)
    unknown = list(found.unknown)
    try:
        lock, manifest = context.required_lock(), context.manifest
        address = str(Package.of(context.spec, manifest.digest).model_uri)
        found = replace(found, lock=lock, manifest=manifest, address=address)
    except UserError as error:
        unknown.append(f"what the package holds: {error.message}")
    if not found.run:
        found = replace(found, plan=_plan(context, unknown))
    return replace(found, **_asked(context, found, unknown, verify), unknown=tuple(dict.fromkeys(unknown)))


def of_member(root: Path, config: str, env: str) -> Facts:
    """What is known on this machine of one spec of a fleet; of one that is wrong, its error."""
    try:
        spec = load(Selection(root, config, env), branch_allowed=True).spec
    except UserError as error:
        return Facts(config, None, env, no_run=_in_a_line(error))
    work = Workspace(root, spec.name, env)
    found = _on_this_disk(work, Facts(config, spec.name, env, spec.sandbox))
    found = replace(found, instance_type=spec.endpoint.instance_type)
    try:
        lock = Lock.parse(work.lock_path.read_bytes(), work.display(work.lock_path))
    except FileNotFoundError:
        return found
    except OSError as error:
        return replace(found, unknown=(*found.unknown, f"the lock cannot be read: {error.strerror}"))
    except UserError as error:
        return replace(found, unknown=(*found.unknown, _in_a_line(error)))
    return replace(found, lock=lock)


def _in_a_line(error: UserError) -> str:
    first, *others = (line.strip() for line in error.lines())
    between = " " if first.endswith(":") else "; "
    return between.join((first, "; ".join(others))) if others else first


def _on_this_disk(work: Workspace, found: Facts) -> Facts:
    """What the last run left."""
    needs = {step.name: step.needs for step in STEPS}
    where = work.display(work.last_run_path)
    try:
        goes_on = is_locked(work.last_run_path)  # before it is read: the run may end meanwhile
        data = work.last_run_path.read_bytes()
        run = last_run.read(data, goes_on, datetime.now(timezone.utc))
    except FileNotFoundError:
        return replace(found, needs=needs, no_run=_NO_RUN)
    except OSError as error:
        return replace(found, needs=needs, no_run=f"{where} cannot be read: {error.strerror}")
    except last_run.NewerEventsError as error:
        return replace(found, needs=needs, no_run=f"{where} holds events that this version does not know: {error}")
    if run is None:
        return replace(found, needs=needs, no_run=f"{where} is damaged: it does not say that a run began")
    lost = f"{run.unreadable} of the lines in {where}: they are damaged" if run.unreadable else None
    return replace(found, run=run, needs=needs, unknown=(*found.unknown, *filter(None, (lost,))))


def _plan(context: BuildContext, unknown: list[str]) -> tuple[Any, ...]:
    """What would run now."""
    try:
        return tuple(executor.plan(context))
    except SagepackError as error:
        unknown.append(f"what would run now: {error.message}")
        return ()


def _asked(
    context: BuildContext, found: Facts, unknown: list[str], verify: Callable[[BuildContext], results.VerifiedRemote]
) -> dict[str, Any]:
    """What the services say."""
    known: dict[str, Any] = {}
    try:
        preflight.require_account(context)
    except SagepackError as error:
        unknown.append(f"what AWS has of it: {error.message}")
        return known
    questions: list[tuple[str, str, Callable[[], Any]]] = [
        ("endpoint", "what the endpoint does", lambda: live.status(context)),
        ("releases", "the releases", lambda: live.releases(context, _RELEASES)),
    ]
    if found.manifest is not None:
        size = found.manifest.size
        questions.append(("published", "what S3 holds of the package", lambda: verify(context)))
        questions.append(("month", "what the package costs in S3", lambda: Costs(context).stored(size)))
    for name, words, question in questions:
        try:
            known[name] = question()
        except NotPublishedError:  # noqa: PERF203 - each may fail by itself
            known["unpublished"] = True
        except (AccessDeniedError, RemoteError) as error:
            unknown.append(f"{words}: {error.message}")
        except SagepackError as error:
            if name == "published":
                known["wrong"] = error.message
            else:
                unknown.append(f"{words}: {error.message}")
    if (endpoint := known.get("endpoint")) is not None:
        unknown.extend(endpoint.unknown)
    return known
