"""lock: the spec's revision, patterns, image tag and requirements become commits, digests and hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.engine import lazy
from sagepack.engine.plan import Step, StepStatus
from sagepack.engine.records import Record, differences
from sagepack.errors import UserError
from sagepack.files import write_atomically
from sagepack.package.lock import Lock
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from sagepack.engine import publisher_signature, resolver, scanning
    from sagepack.engine.context import BuildContext
else:
    publisher_signature = lazy.module("engine.publisher_signature")
    resolver = lazy.module("engine.resolver")
    scanning = lazy.module("engine.scanning")

_HOW_TO_TRY = (
    "write the value into the spec or its overlay; to try it first, copy the overlay to config/env/trial.yaml, write it there "
    "and use --env trial, whose lock is a file of its own"
)


def status(context: BuildContext) -> StepStatus:
    """The lock is up to date if it holds the digest of what the spec declares, and those of the files in the model's folder.

    Raises:
        UserError, IntegrityError: it is not, and may not be written; or the spec does not allow what is known of the model. A
            plan that says otherwise would promise what is refused later.
    """
    inputs, where = _inputs(context), context.display(context.work.lock_path)
    stale: tuple[str, ...] = ()
    if context.lock is None:
        stale = (context.why_no_lock,)
    elif context.lock.is_current(context.spec):
        stale = context.folder_changes or _unlicensed(context, context.lock) or _unsigned(context, context.lock)
    else:
        record = context.records.load("lock")
        stale = (differences(record.inputs, inputs) if record else ()) or ("the lock is not up to date with the spec",)
    if stale:
        _require_writable(context)
    elif context.lock:
        _judge(context, context.lock)
    return StepStatus.observed(inputs, stale, done=f"{where} is up to date with the spec")


def run(context: BuildContext) -> None:
    """Resolve and write the lock.

    Raises:
        UserError: `--locked` forbids it, or the lock is there and `--set` gives what it is made from; the repository is
            gated or missing, a pattern matches nothing, the image is unknown, or the answers make no lock; the lock on disk is
            as it was.
    """
    _require_writable(context)
    where = context.display(context.work.lock_path)
    text = resolver.resolve(context).text().encode()
    try:
        lock = Lock.parse(text, where)
    except UserError as error:
        fix = "the Hub or the registry sent it; the lock on disk is as it was"
        raise error.with_context(fix=fix) from error
    write_atomically(context.work.lock_path, text)
    publisher_signature.remember(context, lock)
    context.records.save(Record("lock", STEP.version, _inputs(context), {"lock": str(Digest.sha256(text))}))
    context.progress.done(
        f"{lock.revision or lock.folder}, {counted(len(lock.files), 'file')}, {format_bytes(lock.size)}"
    )


def _unlicensed(context: BuildContext, lock: Lock) -> tuple[str, ...]:
    """Why a lock of an earlier version does not do where the spec says which licences may be."""
    if context.spec.trust.licenses and lock.revision and lock.license is None and lock.scan is None:
        return ("the lock does not say which licence the model has",)
    return ()


def _unsigned(context: BuildContext, lock: Lock) -> tuple[str, ...]:
    """Why a lock does not do where the publisher has to have signed the model: it names no key that counts."""
    if context.spec.trust.publisher and lock.signed_by not in {key.hint for key in context.trust.publishers}:
        return ("the lock does not say that a key of trust.publisher has signed the model",)
    return ()


def _judge(context: BuildContext, lock: Lock) -> None:
    """Check that the spec allows what is known of the model: who signed it, its licence, and what was found in its files.

    Raises:
        UserError, IntegrityError: it does not. The lock was made when it did, or elsewhere.
    """
    trust = context.spec.trust
    if trust.publisher:
        publisher_signature.require_signed_lock(context, lock)
    if trust.licenses and lock.revision:
        resolver.check_license(context.spec, lock.license)
    if trust.scan == "strict" and (context.verdicts.findings or any(file.hub_scan == "unsafe" for file in lock.files)):
        scanning.enforce(context, scanning.remembered(context))


def _require_writable(context: BuildContext) -> None:
    """Check that the lock may be made or changed.

    Raises:
        UserError: `--locked` forbids it, or the lock is there and `--set` gives what it is made from.
    """
    where = context.display(context.work.lock_path)
    if context.keep_lock:
        raise UserError(
            "the lock needs to be updated, but --locked was given",
            where=where,
            fix="run `invoke lock`, look at the difference and commit it",
        )
    if context.set_keys and context.work.lock_path.exists():
        message = f"--set {context.set_keys[0]} would rewrite the lock, which other runs rely on"
        raise UserError(message, where=where, fix=_HOW_TO_TRY)


def _inputs(context: BuildContext) -> dict[str, object]:
    model, image = context.spec.model, context.spec.image
    return {
        "model": {
            **({"id": model.id, "revision": model.revision} if model.path is None else {"path": model.path}),
            "include": list(model.include),
            "exclude": list(model.exclude),
            "variant": model.variant,
        },
        "image": {"repository": image.repository, "tag": image.tag, "account": image.account},
        **({"hub": context.spec.hub_endpoint} if context.spec.hub_endpoint else {}),
        "region": context.spec.aws.region,
        "requirements": list(context.spec.code.requirements),
    }


STEP = Step("lock", needs=(), version=1, status=status, run=run)
