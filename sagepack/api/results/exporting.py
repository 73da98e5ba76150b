"""The result of an export."""

from __future__ import annotations

from typing import Literal

from sagepack.api.results.base import FOUND_WORK, Result
from sagepack.decoding import Value

TOOLS = ("cloudformation", "cdk", "terraform")
"""The tools for which an endpoint is exported."""
FileState = Literal["written", "unchanged", "missing", "changed", "other", "foreign", "printed"]


class ExportedFile(Value, frozen=True):
    """A file of an export.

    Attributes:
        path: where it is; `-` for stdout.
        state: `written`; `unchanged`, as it should be; `missing`, `changed` since it was exported (or the spec was), `other`, made by an
            export of another format, spec or environment, or `foreign`, made by no export: only with `checked`; `printed` to stdout.
        diff: the lines in which it differs from what would be written, as a unified diff.
        text: what is printed.
    """

    path: str
    state: FileState
    diff: tuple[str, ...] = ()
    text: str | None = None


class Exported(Result, frozen=True):
    """An endpoint as files for another tool.

    Attributes:
        format: `cloudformation`, `cdk` or `terraform`.
        folder: where the files are; null if one was printed.
        files: the files; the one that counts comes first.
        checked: whether they were compared, and none was written.
        endpoint: name of the endpoint.
        package: address of the package that it loads.
        manifest: identity of that package.
        published: whether the package is in S3, with all that `upload` writes; null if that was not asked, or could not be found out.
        limits: what the files do not say or do, one sentence or two each.
        next: the commands that make what they say, in their folder.
    """

    format: str
    folder: str | None
    files: tuple[ExportedFile, ...]
    checked: bool
    endpoint: str
    package: str
    manifest: str
    published: bool | None
    limits: tuple[str, ...]
    next: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        """Whether every file is as it should be."""
        return all(file.state in {"written", "unchanged", "printed"} for file in self.files)

    @property
    def exit_code(self) -> int:
        """0: the files are as the spec says; 2: with `checked`, some are not."""
        return 0 if self.is_current else FOUND_WORK
