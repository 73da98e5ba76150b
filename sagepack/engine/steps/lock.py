"""lock: the revision becomes a commit, every file a size and a SHA-256, the image tag a digest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.digest import Digest
from sagepack.engine.plan import StepStatus
from sagepack.engine.records import Record, differences
from sagepack.errors import UserError
from sagepack.files import write_atomically
from sagepack.package.lock import Lock

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext

VERSION = 1


def fact(build: BuildContext) -> StepStatus:
    """The lock answers the spec if it holds the digest of what the spec asks for."""
    inputs = _inputs(build)
    lock = build.lock
    if lock is None:
        trouble: tuple[str, ...] = (f"{build.shown(build.work.lock)} is missing",)
    elif lock.is_current(build.spec):
        trouble = ()
    else:
        record = build.records.load("lock")
        changed = differences(record.inputs, inputs) if record else ()
        trouble = changed or ("the spec asks for something else than the lock holds",)
    done = f"{build.shown(build.work.lock)} answers the spec"
    return StepStatus(VERSION, inputs, trouble=trouble, observed=True, done=done)


def run(build: BuildContext) -> None:
    """Resolve and write the lock.

    Raises:
        UserError: `--locked` forbids it, the repository is gated or missing, a pattern matches nothing, the image is
            unknown, or the answers make no lock; the lock on disk is as it was.
    """
    if build.locked:
        raise UserError(
            "the lock does not answer the spec, and --locked forbids to change it",
            where=build.shown(build.work.lock),
            fix="run `invoke lock`, look at the difference and commit it",
        )
    from sagepack.engine.resolver import resolve

    text = resolve(build).text().encode()
    try:
        Lock.parse(text, build.shown(build.work.lock))
    except UserError as error:
        error.fix = "the Hub or the registry answered so; the lock on disk is as it was"
        raise
    write_atomically(build.work.lock, text)
    build.forget()
    build.records.save(Record("lock", VERSION, _inputs(build), {"lock": str(Digest.sha256(text))}))


def _inputs(build: BuildContext) -> dict[str, object]:
    source, image = build.spec.model, build.spec.image
    return {
        "model": {
            "id": source.id,
            "revision": source.revision,
            "include": list(source.include),
            "exclude": list(source.exclude),
            "variant": source.variant,
        },
        "image": {"repository": image.repository, "tag": image.tag, "account": image.account},
        "region": build.spec.aws.region,
        "requirements": list(build.spec.code.requirements),
    }
