"""What is checked before work begins, composed from what the services and this machine say.

`obstacles` is for every plan that publishes or deploys. `guard` is for such a plan that has something to do: it makes, in one
parallel round, the checks without which it would fail after bytes were moved. `check_all` is for `doctor`, which shows every
check.
"""

from __future__ import annotations

import shutil
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sagepack.aws import identity, quotas, sagemaker
from sagepack.aws.prices import Prices
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy.preflight import judge
from sagepack.deploy.preflight.asking import Question, answer_all
from sagepack.deploy.preflight.check import STALE_UPLOADS, Check, Finding
from sagepack.deploy.preflight.questions import (
    ACCOUNT,
    BUCKET,
    LIFECYCLE,
    OWNER,
    PATIENCE,
    ROLE,
    ROLE_PERMISSIONS,
    Preflight,
    denied_actions,
)
from sagepack.digest import Digest
from sagepack.engine import lazy
from sagepack.engine.clients import write_options
from sagepack.errors import Diagnostic, IntegrityError, RemoteError, SagepackError, UserError
from sagepack.publish.keys import Package, PackageFormat, packages_uri
from sagepack.spec.rules import instances
from sagepack.text import counted, format_bytes, format_usd, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sagepack.deploy.preflight.check import Verdict
    from sagepack.engine import cluster, scanning, signed, worker_check
    from sagepack.engine.context import BuildContext
    from sagepack.engine.remote import policy
    from sagepack.engine.trust import Trust
    from sagepack.hub.folder import ModelFolder
    from sagepack.package.attest import keyless_signer
    from sagepack.package.lock import Lock
    from sagepack.publish.signatures import SignedRelease
    from sagepack.spec.model import Endpoint
else:
    cluster = lazy.module("engine.cluster")
    keyless_signer = lazy.module("package.attest.keyless_signer")
    policy = lazy.module("engine.remote.policy")
    scanning = lazy.module("engine.scanning")
    signed = lazy.module("engine.signed")
    worker_check = lazy.module("engine.worker_check")

# Check -> the one without which it says nothing.
_JOB_ROLE, _JOB_ROLE_PERMISSIONS = "remote-role", "remote-role-permissions"
_NEEDS = {
    LIFECYCLE: BUCKET,
    STALE_UPLOADS: BUCKET,
    ROLE_PERMISSIONS: ROLE,
    _JOB_ROLE_PERMISSIONS: _JOB_ROLE,
}
_PYTHONS = ((3, 10), (3, 14))


class Obstacles(NamedTuple):
    """What stands in the way of steps that write to AWS.

    Attributes:
        errors: by the step.
        known: the ids of the checks that found something out.
    """

    errors: dict[str, UserError]
    known: frozenset[str] = frozenset()


def obstacles(context: BuildContext) -> Callable[[], Obstacles]:
    """A function that finds what stands in the way of steps which write to AWS, whatever they would do.

    That is another account, a bucket that SageMaker cannot read from, and a foreign endpoint where only the lock would tell what
    is to be deployed: the step `deploy` itself notices one as soon as there is a lock. The function may run in another thread; what the thread shares with this
    one is looked up here, before.
    """
    preflight, steps = _preflight(context), [step.name for step in context.steps if step.writes_to_aws]
    questions = [preflight.account(), *preflight.publishing()]
    if "deploy" in steps and _known_lock(context) is None:
        questions.append(preflight.owner())

    def ask() -> Obstacles:
        checks = {check.id: check for check in answer_all(questions)}
        failed = {name: _error_of([check]) for name, check in checks.items() if check.verdict == "failed"}
        for name in (ACCOUNT, BUCKET):
            if name in failed:
                return Obstacles(dict.fromkeys(steps, failed[name]))
        errors = {"deploy": failed[OWNER]} if OWNER in failed else {}
        return Obstacles(errors, frozenset(name for name, check in checks.items() if check.verdict != "unknown"))

    return ask


def require_account(context: BuildContext) -> None:
    """Check that the credentials are of the account that the spec declares, if AWS says whose they are.

    Raises:
        UserError: they are of another one, or there are none.
    """
    (check,) = answer_all([_preflight(context).account()])
    if check.verdict == "failed":
        raise _error_of([check])


@contextmanager
def explained(context: BuildContext, purpose: str) -> Iterator[None]:
    """Explain what is refused within the block by another account, if that is why, and name the policy of a purpose.

    Args:
        context: of the spec.
        purpose: which of `policies.POLICIES` the work needs.

    Raises:
        UserError: the credentials are of another account, or the error of the block.
    """
    try:
        yield
    except UserError as error:
        require_account(context)
        raise error.with_context(fix=error.fix and error.fix.replace("--for publish", f"--for {purpose}")) from error


def guard(context: BuildContext, *, known: frozenset[str], updates: bool) -> None:
    """Check what publishing, and deploying if that is the goal, would fail without; warnings become notes.

    Args:
        context: the run.
        known: what `obstacles` found out; the rest of it, after an outage at that moment, is asked again.
        updates: whether the endpoint may be updated, as far as known.

    Raises:
        UserError: a check failed; nothing was moved or changed.
    """
    preflight = _preflight(context)
    questions = [preflight.account(), *preflight.publishing()]
    questions += _signing(context, log_in=True)
    if context.remote:
        questions += _remote(context, search=False)
    if any(step.name == "deploy" for step in context.steps):
        questions += [*preflight.deploying(), preflight.quota(search=False)]
    if updates:
        questions += preflight.updating()
    # Whose the endpoint is was seen where it was looked at, with a lock by the step and without one by `obstacles`.
    checks = _without_consequences(answer_all([each for each in questions if each.id not in {*known, OWNER}]))
    for check in checks:
        if check.verdict == "warning":
            context.progress.warn(Diagnostic((), check.detail, check.fix, severity="warning"))
    if failed := [check for check in checks if check.verdict == "failed"]:
        raise _error_of(failed)


def check_all(context: BuildContext, more: Sequence[Question]) -> tuple[Check, ...]:
    """Every check of the spec and environment, and those of `more`, made at the same time."""
    preflight = _preflight(context)
    checks = answer_all(
        [
            preflight.account(),
            *preflight.publishing(),
            preflight.lifecycle(),
            *_signing(context, log_in=False),
            *_served(context),
            *preflight.deploying(),
            *preflight.updating(),
            preflight.quota(search=True),
            *(_remote(context, search=True) if context.spec.remote else ()),
            Question("hub", "Hugging Face Hub", partial(_hub, context)),
            Question("lock", "lock", partial(_lock, context)),
            Question("scan", "model files", partial(_scan, context)),
            Question("disk", "disk", partial(_disk, context)),
            Question("price", "price", partial(_price, context)),
            Question("model-size", "model's size", partial(_model_size, context)),
            Question("python", "Python", partial(judge_python, sys.version_info[:3])),
            *([Question("cluster", "cluster", partial(_cluster, context))] if context.spec.cluster else []),
            *more,
        ]
    )
    return _without_consequences(checks)


def _remote(context: BuildContext, *, search: bool) -> Iterator[Question]:
    """What a job in the region needs; `search` as in `quotas.endpoint_quota`."""
    aws, spec, job = context.clients.aws.with_patience(PATIENCE), context.spec, context.spec.remote
    if job is None:  # which the step itself tells
        return
    role, kind, purpose = job.role, job.instance_type, "remote-execution"

    def trust() -> Finding:
        return judge.role(role, identity.trust_policy(aws, role), "remote.role", purpose)

    def permissions() -> Finding:
        denied = denied_actions(aws, role, policy.remote_execution_policy(spec)["Statement"])
        return judge.role_permissions(role, denied, purpose)

    def quota() -> Finding:
        value = quotas.processing_quota(aws, kind, search=search)
        return judge.job_quota(quotas.processing_quota_name(kind), value)

    yield Question(_JOB_ROLE, "job's role", trust)
    yield Question(_JOB_ROLE_PERMISSIONS, "job's permissions", permissions)
    yield Question("remote-quota", "job quota", quota)


def _preflight(context: BuildContext) -> Preflight:
    aws, lock = context.clients.aws.with_patience(PATIENCE), _known_lock(context)

    def connect_s3() -> S3:
        return S3(aws.client("s3"), write_options(context.spec.artifact))

    return Preflight(aws, connect_s3, context.spec, packages_uri(context.spec), lock.image_digest if lock else None)


def _known_lock(context: BuildContext) -> Lock | None:
    """The lock if it can be read and is up to date; what is wrong with it is a check of its own."""
    try:
        return context.current_lock
    except SagepackError:
        return None


def _without_consequences(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks, where one that another needs is not told as a failure of its own."""
    titles = {check.id: check.title for check in checks if check.verdict == "failed"}
    return tuple(
        Check(check.id, check.title, "unknown", f"not looked at without the {titles[_NEEDS[check.id]]}")
        if _NEEDS.get(check.id) in titles
        else check
        for check in checks
    )


def _error_of(failed: list[Check]) -> UserError:
    """The error for checks that failed."""
    if len(failed) == 1:
        return UserError(f"{failed[0].title}: {failed[0].detail}", fix=failed[0].fix)
    lines = [line for check in failed for line in (f"{check.title}: {check.detail}", f"  {check.fix}") if line]
    return UserError(f"{len(failed)} checks failed, so nothing was sent or changed", details=lines)


def _signing(context: BuildContext, *, log_in: bool) -> list[Question]:
    """Whether the key that signs can be used, if one is declared; or who signs without one."""
    trust = context.trust
    ask = partial(judge_signer, trust, log_in=log_in)
    return [Question("signing-key", "signing key", ask)] if trust.must_sign else []


def _served(context: BuildContext) -> list[Question]:
    """Whether what the endpoint serves is what a key that counts has signed, if one has to."""
    aws, name = context.clients.aws, context.spec.endpoint.name

    def ask() -> Finding:
        for key in context.trust.keys:  # without what verifies with one, no deployment goes on
            key.require_library()
        endpoint = sagemaker.describe_endpoint(aws, name)
        if endpoint is None or not endpoint.endpoint_config_name:
            return Finding("ok", "nothing serves yet")
        try:
            return judge_served(signed.serving(context, endpoint.endpoint_config_name))
        except AccessDeniedError:
            raise
        except UserError as error:  # its model was deleted, or another program made it
            return Finding("unknown", f"not looked at: {error.message}", error.fix)

    return [Question("signature", "signature", ask)] if context.trust.must_verify else []


def judge_served(found: SignedRelease | SagepackError) -> Finding:
    """Whether what serves is what was signed.

    Args:
        found: the release that was signed, or what is wrong with it.
    """
    if isinstance(found, IntegrityError):
        return Finding("failed", "; ".join((found.message, *found.details[:1])), found.fix)
    if isinstance(found, SagepackError):
        return Finding("warning", found.message, found.fix)
    return Finding("ok", f"what serves is what {found.by}")


def judge_signer(trust: Trust, *, log_in: bool = False) -> Finding:
    """Whether the key that signs is there, and of use; nothing is signed.

    Args:
        trust: names it.
        log_in: find out who signs without a key, where that asks no person: it is better refused before anything is moved.
    """
    try:
        signer = trust.signer
        if log_in and isinstance(signer, keyless_signer.KeylessSigner) and not signer.asks:
            signer.log_in()
    except UserError as error:
        return Finding("failed", f"{error.where}: {error.message}", error.fix)
    if signer is None:
        return Finding("ok", "nothing is signed")
    if isinstance(signer, keyless_signer.KeylessSigner):  # who it is takes a login, which is for signing
        return Finding("ok", f"{signer.name} signs by {signer.token_source()}")
    return Finding("ok", f"{signer.public.name} signs ({signer.public.hint[:16]}...)")


def _lock(context: BuildContext) -> Finding:
    where = context.display(context.work.lock_path)
    if context.lock is None:
        return Finding("ok", f"there is no {where} yet: the first command that needs it makes it")
    if context.current_lock is None:
        return Finding("warning", f"{where} is out of date", "run `invoke lock`")
    return Finding("ok", f"{where} is up to date with the spec")


def _scan(context: BuildContext) -> Finding:
    lock = _known_lock(context)
    if lock is None:
        return Finding("unknown", "without a lock nobody knows which files the model has")
    refused = scanning.remembered(context)
    names = tuple(file.path for file in lock.files if file.accepted)
    pending = context.verdicts.unknown(lock.files)
    return judge_scan(
        context.spec.trust.scan, [f"{each.path}: {each.message}" for each in refused], names, len(pending), lock.scan
    )


def judge_scan(mode: str, refused: Sequence[str], accepted: Sequence[str], pending: int, scan: int | None) -> Finding:
    """What is known of the content of the model's files.

    Args:
        mode: `trust.scan`.
        refused: what the spec does not allow, one sentence each.
        accepted: files in which something was found that it allows.
        pending: how many files this machine has not judged.
        scan: the version of the scan that judged all of them when the lock was made; None if none did.
    """
    if mode == "off":
        return Finding("warning", "nobody looks at what they hold: trust.scan is off", "write trust.scan: strict")
    if refused:
        more = f", and {len(refused) - 1} more" if len(refused) > 1 else ""
        verdict: Verdict = "failed" if mode == "strict" else "warning"
        return Finding(verdict, f"{refused[0]}{more}", "`invoke scan` shows each with what to do")
    if pending and scan is None:
        what = f"{counted(pending, 'file')} not judged yet: the lock was made without"
        return Finding("warning", what, "run `invoke scan`; `invoke lock --update` writes into the lock what was found")
    if pending:
        return Finding("ok", "judged when the lock was made; this machine judges them before it fetches them")
    return Finding(
        "ok",
        f"the spec allows what was found in {one_of(accepted)}" if accepted else "judged by content: nothing found",
    )


def _hub(context: BuildContext) -> Finding:
    repo, lock = context.spec.model.id, _known_lock(context)
    if repo is None:
        return _folder(context.model_folder)
    missing = context.cache_status(lock.files).missing if lock else None
    try:
        token = context.clients.hub.check_access(repo)
    except UserError as error:
        if missing is None or missing:
            raise
        return Finding(
            "warning", f"{error.message}; every locked file is in the cache, so nothing fails today", error.fix
        )
    return Finding("ok", f"the files of {repo} may be read" + (f", with the token from {token}" if token else ""))


def _cluster(context: BuildContext) -> Finding:
    """The scheduler answers, and each worker that is there has what it needs to publish, as far as that is known without a plan."""
    declared, lock = context.spec.cluster, _known_lock(context)
    if declared is None:
        return Finding("ok", "none is declared")
    services = worker_check.services_of(context.clients, context.spec.aws.region, lock.revision if lock else None)
    file = min(lock.files, key=lambda each: each.size).path if lock and lock.revision else None
    artifact, none = context.spec.artifact, Digest("sha256", "0" * 64)
    package = Package(S3Uri.parse(artifact.target), context.spec.name, none, PackageFormat(artifact.layout))
    demand = worker_check.demand_of(services, package, file)
    try:
        with cluster.connected(declared, context.work.root) as scheduler:
            found = scheduler.check(demand)
    except RemoteError as error:
        return Finding("failed", f"{error.where}: {error.message}", error.fix)
    return judge_workers(declared.scheduler, found)


def judge_workers(address: str, workers: Sequence[cluster.Worker]) -> Finding:
    """Whether the workers of a cluster can publish."""
    if not workers:
        wait = f"publishing waits {cluster.WAIT:.0f} s for the first one"
        return Finding("warning", f"{address} has no worker now, and {wait}", cluster.start_workers(address))
    if lacking := [worker for worker in workers if worker.problems]:
        error = cluster.lacking_error(lacking)
        return Finding("failed", "; ".join(line.strip() for line in error.details), error.fix)
    return Finding("ok", f"{counted(len(workers), 'worker')} of {address} can read from the Hub and send to S3")


def _folder(folder: ModelFolder) -> Finding:
    if folder.folder.is_dir():
        return Finding("ok", f"is not asked: the model is in the folder {folder.name}")
    fix = f"put the model's folder at {folder.folder}, unless S3 has all of its files already"
    return Finding("warning", f"is not asked, and the model's folder {folder.name} is not on this machine", fix)


def _disk(context: BuildContext) -> Finding:
    lock = _known_lock(context)
    if lock is None:
        free = _free(context.hub_cache)
        return Finding(
            "unknown",
            f"{format_bytes(free)} are free for the model in {context.hub_cache}; without a lock its size is not known",
        )
    fetched = context.cache_status(lock.files).bytes_missing if lock.revision else 0
    needs = {context.hub_cache: fetched, context.work.dist_path: lock.size}
    return judge_disk({str(folder): (need, _free(folder)) for folder, need in needs.items()})


def _price(context: BuildContext) -> Finding:
    if context.spec.sandbox:
        return Finding("ok", "nothing: the endpoint is in the sandbox")
    endpoint, prices = context.spec.endpoint, Prices(context.clients.aws, context.work.prices_path)
    hours = {kind: prices.hour(kind) for kind in endpoint.instance_types}
    most = max(endpoint.scaling.upper_bounds) if endpoint.scaling else endpoint.initial_instance_count
    return judge_price(hours, most, prices.problem)


def judge_price(hours: dict[str, float | None], most: int, problem: str | None) -> Finding:
    """What the instances of an endpoint cost, by list prices.

    Args:
        hours: the price of an hour of each type that they may have; None if it is not known.
        most: how many of them there may be.
        problem: why a price is not known.
    """
    known = [
        f"an hour of {kind} costs {format_usd(hour)}" + (f", of {most} {format_usd(most * hour)}" if most > 1 else "")
        for kind, hour in hours.items()
        if hour is not None
    ]
    if problem:
        known.append(f"the price is not known: {problem}")
    return Finding("unknown" if problem else "ok", "; ".join(known))


def _model_size(context: BuildContext) -> Finding:
    lock = _known_lock(context)
    if lock is None:
        return Finding("unknown", "without a lock the size of the model is not known")
    return judge_model_size(lock.size, context.spec.endpoint, is_archive=context.spec.artifact.layout == "archive")


def judge_model_size(size: int, endpoint: Endpoint, *, is_archive: bool) -> Finding:
    """Whether the model fits its instances, as far as its bytes say: a handler may load less of it, or it in parts.

    Args:
        size: bytes of the model's files.
        endpoint: as declared.
        is_archive: whether the package is one, which has to lie on the disk beside what comes out of it.
    """
    shown, volume = format_bytes(size), endpoint.volume_size_in_gb
    for kind in endpoint.instance_types:
        instance = instances.parse(kind)
        memory = instance.gpu_memory if instance else None
        if memory is not None and size > memory:
            fix = "take an instance type with more GPU memory, or let the handler load half precision or parts of it"
            return Finding("warning", f"{shown}; the GPUs of {kind} have {format_bytes(memory)}", fix)
    needed = 2 * size if is_archive else size
    if volume is not None and needed > volume << 30:
        fix = f"raise endpoint.volume_size_in_gb{', or set artifact.layout: prefix' if is_archive else ''}"
        twice = ", twice: the archive and what comes out of it" if is_archive else ""
        return Finding("warning", f"{shown}{twice}; endpoint.volume_size_in_gb is {volume}", fix)
    return Finding("ok", shown)


def judge_disk(folders: dict[str, tuple[int, int]]) -> Finding:
    """Whether what would be written fits.

    Args:
        folders: bytes that are needed, and that are free, by folder.
    """
    short = [
        f"{folder} needs {format_bytes(need)}, {format_bytes(free)} are free"
        for folder, (need, free) in folders.items()
        if need > free
    ]
    if short:
        fix = "free space, set HF_HUB_CACHE to a larger disk, or publish with --stream, which stores nothing here"
        return Finding("warning", "; ".join(short), fix)
    shown = "; ".join(
        f"{folder}: {format_bytes(free)} free, {format_bytes(need)} needed" for folder, (need, free) in folders.items()
    )
    return Finding("ok", shown)


def judge_stale_uploads(count: int, hours: int) -> Finding:
    """Whether there are unfinished uploads that nobody continues.

    Args:
        count: how many there are.
        hours: how old they are at least.
    """
    if not count:
        return Finding("ok", f"no unfinished upload is older than {hours} h")
    return Finding(
        "warning", f"{count} unfinished uploads are older than {hours} h, and cost money", "`invoke gc` aborts them"
    )


def judge_python(version: tuple[int, int, int]) -> Finding:
    """Whether this Python is one that the program is tested with."""
    shown = ".".join(map(str, version))
    oldest, newest = (".".join(map(str, bound)) for bound in _PYTHONS)
    if _PYTHONS[0] <= version[:2] <= _PYTHONS[1]:
        return Finding("ok", f"{shown}, in {sys.prefix}")
    return Finding("warning", f"{shown} is not tested", f"use Python {oldest} to {newest}")


def _free(folder: Path) -> int:
    """Bytes that are free where a folder is, or would be made."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
