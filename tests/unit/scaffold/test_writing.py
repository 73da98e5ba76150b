"""Files are written all or none, and none is overwritten."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sagepack.errors import UserError
from sagepack.scaffold.writing import write_new

if TYPE_CHECKING:
    from collections.abc import Callable

TEXTS = {"a/b/one": b"1", "a/two": b"2", "three": b"3"}


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_all_files_are_written_and_nothing_else_is_left(tmp_path: Path) -> None:
    (tmp_path / "README").write_bytes(b"mine")
    write_new(tmp_path, TEXTS)
    assert contents(tmp_path) == {**TEXTS, "README": b"mine"}
    assert {path.name for path in tmp_path.iterdir()} == {"a", "three", "README"}


@pytest.mark.parametrize(
    ("prepare", "listed"),
    [
        (lambda root: ((root / "three").write_bytes(b"mine"), (root / "a").mkdir()), ("three",)),
        (lambda root: (root / "three").symlink_to("nowhere"), ("three",)),
        (lambda root: (root / "a").write_bytes(b"mine"), ("a",)),
        (lambda root: (root / "code").mkdir(), ("code",)),
        (lambda root: [(root / name).mkdir() for name in ("three", "code")], ("code", "three")),
    ],
)
def test_what_exists_is_listed_at_once_and_nothing_is_written(
    tmp_path: Path, prepare: Callable[[Path], object], listed: tuple[str, ...]
) -> None:
    prepare(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="exist already") as caught:
        write_new(tmp_path, TEXTS, ["code"])
    assert caught.value.details == listed
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("number", range(1, len(TEXTS) + 1))
def test_an_interruption_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    (tmp_path / "README").write_bytes(b"mine")
    moves = 0
    move = Path.rename

    def rename(self: Path, target: Path) -> Path:
        nonlocal moves
        moves += 1
        if moves == number:
            raise KeyboardInterrupt
        return move(self, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises(KeyboardInterrupt):
        write_new(tmp_path, TEXTS)
    assert [path.name for path in tmp_path.rglob("*")] == ["README"]
