"""What this machine knows of the content of the model's files: a record, so that no file is judged twice.

The lock says what was found too, for those who review it; nothing is trusted because of that, since a lock may come from
anybody.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack import scan
from sagepack.decoding import Value
from sagepack.engine.records import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.engine.records import Records
    from sagepack.package.lock import LockedFile

_RECORD = "scan"


class Verdicts(Value, frozen=True):
    """Which files were judged by this version of the scan, and what was found in them.

    Attributes:
        digests: path of a file -> digest of the content that was judged.
        findings: documents of `scan.finding.Finding`, of those files.
    """

    digests: dict[str, str]
    findings: tuple[dict[str, Any], ...]

    @classmethod
    def load(cls, records: Records) -> Verdicts:
        """Those of the record; none if there is no record, or it is of another version of the scan."""
        record = records.load(_RECORD)
        if record is None or record.version != scan.VERSION:
            return cls({}, ())
        return cls(record.inputs, tuple(record.output["findings"]))

    def unknown(self, files: Sequence[LockedFile]) -> tuple[LockedFile, ...]:
        """The files that are not judged yet."""
        return tuple(file for file in files if self.digests.get(file.path) != str(file.digest))

    def about(self, files: Iterable[LockedFile]) -> tuple[dict[str, Any], ...]:
        """The findings in some files."""
        if not self.findings:
            return ()
        current = {file.path for file in files if self.digests.get(file.path) == str(file.digest)}
        return tuple(finding for finding in self.findings if finding["path"] in current)

    def with_new(self, files: Iterable[LockedFile], findings: Iterable[dict[str, Any]]) -> Verdicts:
        """These, and what was found in further files."""
        digests = {file.path: str(file.digest) for file in files}
        others = (finding for finding in self.findings if finding["path"] not in digests)
        return Verdicts({**self.digests, **digests}, (*others, *findings))

    def save(self, records: Records) -> None:
        """Keep them, if they can be kept."""
        records.remember(Record(_RECORD, scan.VERSION, self.digests, {"findings": list(self.findings)}))
