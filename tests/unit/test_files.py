"""What a disk refuses is told with the file, the reason and what to do."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

from sagepack.errors import UserError
from sagepack.files import disk_error, disk_errors, require_output, unreadable, write_output


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EIO])
def test_the_file_the_reason_and_the_way_out_are_reported(tmp_path: Path, number: int) -> None:
    with pytest.raises(UserError, match=os.strerror(number)) as caught, disk_errors(tmp_path / "f"):
        raise OSError(number, os.strerror(number))
    assert caught.value.where == str(tmp_path / "f")
    assert caught.value.fix


def test_what_a_user_cannot_fix_stays_as_it_is_and_names_the_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="cross-device") as caught, disk_errors(tmp_path / "f"):
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    assert caught.value.filename == str(tmp_path / "f")


def test_a_full_disk_says_what_is_needed_though_the_folder_is_not_there_yet(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = disk_error(full, tmp_path / "not" / "yet" / "f", 5 << 30)
    assert told is not None
    assert "5,120 MiB are needed" in str(told)


@pytest.mark.parametrize(("files", "free", "told"), [(100, 0, True), (100, 1, False), (0, 0, False)])
def test_only_a_file_system_that_counts_files_can_have_none_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int, free: int, told: bool
) -> None:
    status = SimpleNamespace(f_files=files, f_favail=free, f_bavail=1, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _path: status)
    failure = disk_error(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), tmp_path / "f")
    assert failure is not None
    assert ("no free inode" in str(failure)) == told


@pytest.mark.parametrize(
    ("error", "message", "fix"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory"), "No such file or directory", "check the name"),
        (PermissionError(errno.EACCES, "Permission denied"), "cannot be read: Permission denied", "right to read"),
        (OSError(errno.EIO, "Input/output error"), "cannot be read: Input/output error", "the disk has a fault"),
        (OSError(errno.ESTALE, "Stale file handle"), "cannot be read: Stale file handle", "copy it to another place"),
    ],
)
def test_a_file_that_cannot_be_read_has_something_to_do(error: OSError, message: str, fix: str) -> None:
    said, what_to_do = unreadable(error)
    assert said == message
    assert fix in what_to_do


def replaceable(path: Path) -> None:
    require_output(path, "shown", "--output", "graph", lambda head: head.startswith(b"graph"))


def test_only_an_earlier_output_an_empty_file_and_what_keeps_nothing_are_written_over(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for text in (None, "", "graph of a"):
        if text is not None:
            path.write_text(text)
        replaceable(path)
    replaceable(path / "below a file")
    replaceable(Path(os.devnull))
    path.write_text("mine")
    with pytest.raises(UserError, match="there is a file of that name which is no graph") as caught:
        replaceable(path)
    assert (caught.value.where, caught.value.fix) == (
        "shown",
        "name another file with --output, or move that one away",
    )
    with pytest.raises(UserError, match="there is a folder of that name"):
        replaceable(tmp_path)


def test_a_pipe_stays_a_pipe_when_an_output_is_written(tmp_path: Path) -> None:
    fifo, read = tmp_path / "fifo", list[bytes]()
    os.mkfifo(fifo)
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()), daemon=True)
    reader.start()
    replaceable(fifo)
    write_output(fifo, b"graph")
    reader.join(10)
    assert read == [b"graph"]
    assert fifo.is_fifo()
