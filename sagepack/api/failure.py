"""Any exception as an error that a user reads."""

from __future__ import annotations

import sys

from sagepack import files
from sagepack.errors import SagepackError, UserError


def as_failure(error: Exception) -> SagepackError:
    """The error itself if it is one of this program; else what this machine, or a mistake of this program, did."""
    if isinstance(error, SagepackError):
        return error
    if isinstance(error, OSError):
        return files.disk_error(error)
    if isinstance(error, UnicodeEncodeError) and sys.getfilesystemencoding() != "utf-8":
        name = error.object[error.start : error.end]
        return UserError(
            f"a file name with {name!r} cannot be written in this locale",
            fix="set LC_ALL=C.UTF-8 or PYTHONUTF8=1, and run the same command again",
        )
    if isinstance(error, MemoryError):
        return UserError("this machine has not enough memory", fix="end other programs and run the same command again")
    return SagepackError(
        f"unexpected {type(error).__name__}: {error}",
        fix="this is a mistake in sagepack, not in your input: report it with what --debug shows",
    )
