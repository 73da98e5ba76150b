"""The publisher's own signature of a model, which `trust.publisher` demands: compared with the lock's digests before a weight is fetched.

`lock` verifies what it locks. A lock from elsewhere, and one that was changed by hand, says itself that it was verified, which proves
nothing: so whatever uses it verifies once more, on each machine, until a record of this machine says that it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.digest import Digest, fingerprint
from sagepack.engine.records import Record
from sagepack.errors import IntegrityError, UserError
from sagepack.package.attest import oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keyless import Identity
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.engine.context import BuildContext
    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.lock import Lock, LockedFile

SIGNATURE = "model.sig"
_RECORD, _VERSION = "publisher", 1
_SHOWN = 12  # files in a message


def require_signed_lock(context: BuildContext, lock: Lock) -> None:
    """Check that the files of a lock are what the publisher signed, unless this machine has checked just these.

    A folder is compared with its lock whenever a command runs, and a lock of what changed is made again.

    Raises:
        UserError: the model is not signed.
        IntegrityError: its locked files are not those that were signed.
        RemoteError: the Hub failed after retries.
    """
    revision, record = lock.revision, _record(context, lock)
    if revision is None or context.records.load(_RECORD) == record:
        return
    with context.progress.activity("asking the Hub for the publisher's signature"):
        found = next((file for file in context.clients.hub.files(revision) if file.path == SIGNATURE), None)
        data = context.clients.hub.read(revision, found) if found else None
    try:
        require_signed(context, str(revision), lock.files, data)
    except IntegrityError as error:
        raise error.with_context(
            details=[f"the lock is {context.display(context.work.lock_path)}", *error.details],
            fix="find out who changed the lock; `invoke lock --update` makes it again of what the publisher signed",
        ) from error
    context.records.remember(record)


def remember(context: BuildContext, lock: Lock) -> None:
    """Note that a lock that was just made is what the publisher signed."""
    if context.spec.trust.publisher:
        context.records.remember(_record(context, lock))


def _record(context: BuildContext, lock: Lock) -> Record:
    """That the files of a lock were compared with a signature of one of the keys that count."""
    files = {file.path: file.digest.value for file in lock.files}
    about = [str(lock.revision), files, sorted(map(_named, context.trust.publishers))]
    return Record(_RECORD, _VERSION, {"signed": str(fingerprint(about))}, {})


def _named(key: Verifier) -> str:
    """A key, certificate or identity; of an instance of Sigstore with its configuration, which says what its signatures are verified with."""
    config = Digest.sha256(key.config).value if isinstance(key, Identity) and key.config else ""
    return f"{key.hint} {config}"


def require_signed(context: BuildContext, where: str, files: Sequence[LockedFile], signature: bytes | None) -> str:
    """Which key of `trust.publisher` has signed every file of a model, by the hint of its signature. No weight is read for it.

    Args:
        context: the run.
        where: the model, for messages.
        files: that are to be locked; the signature may be over more.
        signature: the `model.sig` beside them; None if there is none.

    Raises:
        UserError: the model is not signed.
        IntegrityError: it is not signed by one of these keys, or its files are not those that were signed.
    """
    if signature is None:
        fix = "ask the publisher where the signature is, choose another model, or remove trust.publisher"
        raise UserError(f"the model has no {SIGNATURE}, and trust.publisher demands a signature", where=where, fix=fix)
    place = f"{where}: {SIGNATURE}"
    try:
        signed, key = oms.signed_files(signature, context.trust.publishers)
    except SignatureError as error:
        fix = "compare trust.publisher with the keys that the publisher names; nothing was locked"
        raise IntegrityError(str(error), where=place, fix=fix) from error
    # A signature cannot be over itself.
    ours = {file.path: file.digest.value for file in files if file.path != SIGNATURE}
    if wrong := oms.differences(signed, ours, more_signed=True):
        more = [f"and {len(wrong) - _SHOWN} more"] if len(wrong) > _SHOWN else []
        raise IntegrityError(
            f"{counted(len(wrong), 'file')} of the model {'is' if len(wrong) == 1 else 'are'} not what {key.name} signed",
            where=place,
            details=[*wrong[:_SHOWN], *more],
            fix="nothing was locked or fetched; choose another revision, leave these files out with model.exclude, or ask the publisher",
        )
    context.progress.note(f"every file is signed by {key.name}")
    return next(each.hint for each in context.trust.publishers if each.name == key.name)
