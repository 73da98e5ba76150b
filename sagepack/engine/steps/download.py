"""download: the locked files come into the Hugging Face cache, every byte checked; only what the goal needs.

A model in a folder is there already, and only checked. Before a file is fetched, or sent from the Hub to S3, its content is
judged by ranges of it, unless this machine has done so; and once more when its bytes are here and as the lock says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.engine import lazy, wheels
from sagepack.engine.plan import UNKNOWN, Content, Step, StepStatus
from sagepack.hub.folder import ModelFolder
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.engine import local_model, scanning
    from sagepack.engine.context import BuildContext
    from sagepack.hub import download
    from sagepack.package.lock import LockedFile, LockedPackage
else:
    download = lazy.module("hub.download")
    local_model = lazy.module("engine.local_model")
    scanning = lazy.module("engine.scanning")


def status(context: BuildContext) -> StepStatus:
    """Every file that the goal needs lies in the cache and has not changed since it was hashed."""
    if context.current_lock is None:
        return UNKNOWN
    required = context.required_files()
    found, cache = context.cache_status(required), context.model_files
    folder = cache.name if isinstance(cache, ModelFolder) else None
    place = folder or "the cache"
    here = 0 if isinstance(cache, ModelFolder) or not found.missing else download.resumable_bytes(cache, found.missing)
    resumed = (f"{format_bytes(here)} of that are here from an interrupted download",) if here else ()
    needed, pending = wheels.required(context), _pending(context)
    absent = wheels.missing(context, needed)
    return StepStatus.observed(
        {file.path: str(file.digest) for file in required},
        (
            *_wheels_in_words(absent),
            *_to_scan(pending),
            *_in_words(found.missing, f"not in {place}", " needed" if folder else " to fetch"),
            *resumed,
            *_in_words(found.present, "to be verified" if folder else "cached, to be verified", ""),
        ),
        fetch=(0 if folder else found.bytes_missing - here) + sum(each.size for each in absent),
        done=f"{counted(len(required), 'file')} in {place} match the lock" if required else _why_none(context),
    )


def run(context: BuildContext) -> None:
    """Fetch what is missing, hash what is not known: wheels of requirements first, then the model.

    Raises:
        UserError: gate, token, or too little free disk; a file of the model's folder is missing or changed; or a file holds what
            the spec does not allow.
        RemoteError: the Hub failed after retries.
        IntegrityError: twice in a row bytes that are not what the lock says; or a file is damaged.
    """
    if pending := _pending(context):
        scanning.judge_locked(context, pending)
    wheels.fetch(context, wheels.required(context))
    revision = context.required_lock().revision
    if revision is None:
        local_model.confirm(context.model_folder, context.required_files(), context.hash_cache)
        return
    required = context.required_files()
    found = context.cache_status(required)
    ready, missing = found.ready, {file.path for file in found.missing}
    context.progress.came([_content(file, fetched=file.size if file.path in missing else 0) for file in required])
    download.download(
        context.clients.hub,
        revision,
        required,
        connections=context.connections,
        hash_cache=context.hash_cache,
        progress=context.progress,
    )
    if new := [file for file in required if file.path not in ready]:
        scanning.judge_fetched(context, new)


def _content(file: LockedFile, *, fetched: int) -> Content:
    return Content(file.path, file.size, copied=0, sent=0, fetched=fetched, read=0, source=None, binding=None)


def _pending(context: BuildContext) -> tuple[LockedFile, ...]:
    """The files that come from the Hub or from this disk, and have not been judged by their content.

    What S3 has already was judged by whoever published it.
    """
    if context.spec.trust.scan == "off" or context.promotion:
        return ()
    used = context.required_files()
    if any(step.name == "upload" for step in context.steps) and context.publication.stream_reason:
        used = context.publication.missing_files
    return context.verdicts.unknown(used)


def _to_scan(files: Sequence[LockedFile]) -> tuple[str, ...]:
    return _in_words(files, "not scanned yet", "") if files else ()


def _wheels_in_words(packages: Sequence[LockedPackage]) -> tuple[str, ...]:
    if not packages:
        return ()
    first = packages[0].file if len(packages) == 1 else f"{packages[0].file} and {len(packages) - 1} more"
    return (f"{first} not here, or not checked yet ({format_bytes(sum(each.size for each in packages))})",)


def _in_words(files: Sequence[LockedFile], how: str, todo: str) -> tuple[str, ...]:
    if not files:
        return ()
    first = files[0].path if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"
    return (f"{first} {how} ({format_bytes(sum(file.size for file in files))}{todo})",)


def _why_none(context: BuildContext) -> str:
    publication = context.publication
    if publication.missing_files and context.remote:
        return "the job in the region streams what S3 lacks from the Hub (--remote)"
    if publication.missing_files and publication.stream_reason:
        return f"streamed from the Hub to S3 ({publication.stream_reason})"
    return "S3 has all that is needed"


STEP = Step("download", needs=("lock",), version=1, status=status, run=run)
