"""The manifest names a package; what an archive could not hold everywhere is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.manifest import Manifest, Member, check_paths

ZERO = Digest.sha256(b"")
NAMES = st.lists(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,4}){0,2}", fullmatch=True), unique=True, max_size=8)


def member(path: str, data: bytes = b"", *, executable: bool = False) -> Member:
    return Member(path, len(data), Digest.sha256(data), executable)


@given(NAMES, st.randoms(use_true_random=False))
def test_identity_does_not_depend_on_the_order_of_files(paths: list[str], random: object) -> None:
    members = [member(path) for path in paths if not any(other.startswith(path + "/") for other in paths)]
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Manifest.of(members).digest == Manifest.of(shuffled).digest


@pytest.mark.parametrize(
    "other", [member("a", b"1"), member("b"), member("a", executable=True)], ids=["content", "name", "mode"]
)
def test_identity_depends_on_content_name_and_mode(other: Member) -> None:
    assert Manifest.of([member("a")]).digest != Manifest.of([other]).digest


def test_code_comes_last_and_the_rest_by_the_bytes_of_the_path() -> None:
    paths = ["code/b", "unet/a", "Zeta", "code/a", "zeta", "codex", "é"]
    # "zeta" and "Zeta" differ by case and cannot stand together.
    found = Manifest.of(member(path) for path in paths if path != "zeta")
    assert [m.path for m in found.members] == ["Zeta", "codex", "unet/a", "é", "code/a", "code/b"]


def test_a_manifest_reads_back_from_its_document() -> None:
    manifest = Manifest.of([member("a", b"1"), member("code/run.sh", b"2", executable=True)])
    assert Manifest.from_json(manifest.to_json()) == manifest


@pytest.mark.parametrize(
    "document", [[], "a", {}, {"version": 2}, {"version": 1}, {"version": 1, "members": [{"path": "a"}]}]
)
def test_what_is_no_manifest_is_refused(document: Any) -> None:
    with pytest.raises(UserError, match="manifest"):
        Manifest.from_json(document)


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (["/etc/passwd"], "plain relative"),
        (["../a"], "plain relative"),
        (["a/../b"], "plain relative"),
        (["a//b"], "plain relative"),
        (["a/"], "plain relative"),
        (["."], "plain relative"),
        ([""], "plain relative"),
        (["a\\b"], "plain relative"),
        (["a\nb"], "control character"),
        (["a\x00"], "control character"),
        (["a\udcff"], "not Unicode"),
        (["a", "a"], "stands twice"),
        (["Config.json", "config.json"], "only by case"),
        (["caf\u00e9", "cafe\u0301"], "only by case or form"),
        (["unet", "unet/config.json"], "both a file and a folder"),
    ],
)
def test_paths_that_an_archive_cannot_hold_are_refused(paths: list[str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        check_paths(paths)
