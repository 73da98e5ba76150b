"""`scan`: each file of the model, judged by its content, and what the spec says about what was found. Changes nothing but a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.engine import resolver, scanning

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext
    from sagepack.scan.finding import Finding


def scan(context: BuildContext) -> results.Scanned:
    """Judge the files of the lock; without one that is up to date, those that `lock` would take.

    Raises:
        UserError, RemoteError, IntegrityError: the files cannot be listed or read.
    """
    lock = context.current_lock
    if lock is None:
        source = resolver.find_source(context)
        files, place, texts = source.files, source.place, source.texts
        license_, gated = source.license, source.gated
    else:
        files, place, texts = lock.files, scanning.Place.of(context, lock.revision), {}
        license_, gated = lock.license, lock.gated
    judged = scanning.judge_anew(context, files, place, texts)
    scanning.warn_of_unused(context, judged.findings)
    refused = set(scanning.refused(context.spec.trust, files, judged.findings))
    left = scanning.accepted(files, judged.findings, refused)
    found: dict[str, list[results.ScanFinding]] = {}
    for finding in (*sorted(refused, key=lambda each: each.message), *left):
        found.setdefault(finding.path, []).append(_shown(finding, is_refused=finding in refused))
    return results.Scanned(
        mode=context.spec.trust.scan,
        locked=lock is not None,
        files=tuple(
            results.ScannedFile(
                file.path, file.size, file.path in judged.looked_at, file.hub_scan, tuple(found.get(file.path, ()))
            )
            for file in files
        ),
        bytes_read=judged.bytes_read,
        license=str(license_) if license_ else None,
        gated=gated,
    )


def _shown(finding: Finding, *, is_refused: bool) -> results.ScanFinding:
    return results.ScanFinding(
        kind=finding.kind.value,
        message=finding.message,
        fix=finding.fix,
        names=finding.names,
        refused=is_refused,
        damaged=finding.is_damage,
    )
