"""The manifest names a package; what an archive could not hold everywhere is refused."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.manifest import Manifest, Member, check_paths

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
    assert Manifest.parse(manifest.text().encode()) == manifest


GOOD = {"path": "a", "size": 0, "sha256": ZERO.value, "executable": False}


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "object"),
        ("a", "object"),
        ({}, "version"),
        ({"version": 2, "members": []}, "version"),
        ({"version": 1}, "members"),
        ({"version": 1, "members": [{"path": "a"}]}, "members[0]"),
        ({"version": 1, "members": [GOOD, GOOD | {"size": -1}]}, "members[1].size"),
        ({"version": 1, "members": [GOOD | {"size": 2**63}]}, "members[0].size"),
        ({"version": 1, "members": [GOOD | {"size": "1"}]}, "members[0].size"),
        ({"version": 1, "members": [GOOD | {"size": 1.0}]}, "members[0].size"),
        ({"version": 1, "members": [GOOD | {"sha256": "0"}]}, "members[0].sha256"),
        ({"version": 1, "members": [GOOD | {"path": 5}]}, "members[0].path"),
        ({"version": 1, "members": [GOOD | {"executable": 1}]}, "members[0].executable"),
        ({"version": 1, "members": [GOOD | {"more": 1}]}, "more"),
    ],
)
def test_what_is_no_manifest_is_refused_with_the_place(document: Any, place: str) -> None:
    with pytest.raises(UserError, match="this is not a manifest: ") as caught:
        Manifest.parse(json.dumps(document).encode())
    assert place in caught.value.message


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[" * 50_000, b'{"version": 1, "members": [NaN]}'])
def test_what_is_no_json_is_no_manifest(data: bytes) -> None:
    with pytest.raises(UserError, match="this is not a manifest: "):
        Manifest.parse(data)


def test_no_flipped_bit_of_a_manifest_crashes_its_reader() -> None:
    whole = Manifest.of([member("a", b"1"), member("code/run.sh", b"2", executable=True)]).text().encode()
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        with suppress(UserError):
            Manifest.parse(bytes(data))


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
        (["a\u202egpj.exe"], "RIGHT-TO-LEFT OVERRIDE"),
        (["zero\u200bwidth"], "ZERO WIDTH SPACE"),
        (["soft\u00adhyphen"], "SOFT HYPHEN"),
        (["\ufeffbom"], "ZERO WIDTH NO-BREAK SPACE"),
        (["a\u2028b"], "LINE SEPARATOR"),
        (["\U000e0001"], "LANGUAGE TAG"),
        (["/".join("a" * 257)], "more than 255 folders"),
        (["a", "a"], "occurs twice"),
        (["Config.json", "config.json"], "only by case"),
        (["caf\u00e9", "cafe\u0301"], "only by case or Unicode normalisation"),
        (["unet", "unet/config.json"], "both a file and a folder"),
        (["Unet/vae/config.json", "unet"], "both a file and a folder"),
    ],
)
def test_paths_that_an_archive_cannot_hold_are_refused(paths: list[str], text: str) -> None:
    with pytest.raises(UserError, match=text):
        check_paths(paths)


def test_names_that_people_use_are_accepted() -> None:
    check_paths(
        [
            "modèle/Größe.json",
            "模型/重み",
            "with space",
            "näive\u0301.txt",
            "a-b_c+d (1).bin",
            "🤗.md",
            "/".join("a" * 256),
        ]
    )
