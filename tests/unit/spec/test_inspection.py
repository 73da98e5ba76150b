"""Reasons not to publish files of a project, and which files are searched again."""

from __future__ import annotations

import errno
import os
import struct
from pathlib import Path

import pytest

from sagepack.digest import Digest, hash_file
from sagepack.spec.code_tree import CodeTree, describe_excluded, scan
from sagepack.spec.inspection import Inspection
from sagepack.spec.secrets import LIMIT, texts

TOKEN = "hf" + "_" + "aB3" * 11
WHERE = "inference_code/toy"
CERTIFICATE = f"-----BEGIN CERTIFICATE-----\n{'MIIB' * 16}\n-----END CERTIFICATE-----\n"
PEM = CERTIFICATE.replace("CERTIFICATE", "PRIVATE " + "KEY")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / WHERE
    folder.mkdir(parents=True)
    (folder / "inference.py").write_text("x = 1\n")
    return folder


def put(folder: Path, name: str, data: str | bytes) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def assembled(folder: Path, *allowed: str) -> tuple[CodeTree, Inspection]:
    inspection = Inspection(texts, [f"{WHERE}/{name}" for name in allowed])
    return scan(folder.parents[1], (WHERE,), {}, inspection), inspection


def refused(folder: Path, *allowed: str) -> list[str]:
    return [problem.location.removeprefix(f"{WHERE}/") for problem in assembled(folder, *allowed)[1].diagnostics]


def core_dump(order: str) -> bytes:
    ident = b"\x7fELF\x02" + (b"\x01" if order == "<" else b"\x02") + b"\x01" + bytes(9)
    return ident + struct.pack(f"{order}H", 4) + bytes(100)


def test_all_secrets_are_reported_at_once_with_their_places_and_fixes(folder: Path) -> None:
    put(folder, ".env", f"HF_TOKEN={TOKEN}\n")
    put(folder, ".aws/credentials", "x")
    put(folder, "inference.py", f"x = 1\ny = '{TOKEN}'\nz = '{TOKEN}'\n")
    put(folder, "sub/a.json", f'{{\n"a": "{TOKEN}"\n}}\n')
    (folder / "leak").symlink_to("/etc/passwd")
    _, inspection = assembled(folder)
    assert [problem.location for problem in inspection.diagnostics] == [
        f"{WHERE}/.aws",
        f"{WHERE}/.env",
        f"{WHERE}/inference.py:2",
        f"{WHERE}/inference.py:3",
        f"{WHERE}/leak",
        f"{WHERE}/sub/a.json:2",
    ]
    messages = {problem.location: problem for problem in inspection.diagnostics}
    assert messages[f"{WHERE}/inference.py:2"].message == "contains a Hugging Face token"
    assert "in a comment" in str(messages[f"{WHERE}/inference.py:2"].fix)
    assert "under not_secret in the spec" in str(messages[f"{WHERE}/sub/a.json:2"].fix)
    assert TOKEN not in repr(inspection.diagnostics)


@pytest.mark.parametrize(
    "name", [".env", "lib/id_rsa", "deploy.pem", "tls.key", "sub/.netrc", ".ssh/config", ".kube/config"]
)
def test_a_file_with_the_name_of_secrets_is_refused_unless_the_spec_allows_it(folder: Path, name: str) -> None:
    put(folder, name, "nothing\n")
    place = name if not name.startswith((".ssh", ".kube")) else name.split("/", maxsplit=1)[0]
    assert refused(folder) == [place]
    made, inspection = assembled(folder, place)
    assert inspection.diagnostics == []
    assert f"code/{name}" in {file.path for file in made.files}


def test_a_certificate_is_packaged_and_a_private_key_is_not(folder: Path) -> None:
    put(folder, "ca.pem", CERTIFICATE * 3)
    put(folder, "server.key", CERTIFICATE + PEM)
    put(folder, "large.pem", CERTIFICATE * (1 + LIMIT // len(CERTIFICATE)) + PEM)
    assert refused(folder) == ["large.pem", "server.key"]


@pytest.mark.parametrize("name", ["core", "core.1234", "dump/any"])
@pytest.mark.parametrize("order", "<>")
def test_a_core_dump_is_recognised_by_its_content_and_excluded(folder: Path, name: str, order: str) -> None:
    put(folder, name, core_dump(order))
    put(folder, "core.py", "x = 1\n")
    put(folder, "core.yaml", "x: 1\n")
    put(folder, "lib.so", core_dump(order)[:16] + struct.pack(f"{order}H", 3))
    made, inspection = assembled(folder)
    assert inspection.diagnostics == []
    assert made.excluded == {name: "a core dump"}
    assert [file.path for file in made.files] == [
        "code/core.py",
        "code/core.yaml",
        "code/inference.py",
        "code/lib.so",
    ]


@pytest.mark.parametrize(
    ("name", "place", "what"),
    [
        ("env39/pyvenv.cfg", "env39/", "a virtual environment"),
        (".venv/lib/x/cacert.pem", ".venv/", "a virtual environment"),
        ("node_modules/x/.npmrc", "node_modules/", "packages of Node.js"),
        (".github/workflows/a.yml", ".github/", "left by tools"),
        (".gitignore", ".gitignore", "left by tools"),
        (".gitattributes", ".gitattributes", "left by tools"),
        (".git", ".git", "left by tools"),
        (".idea/workspace.xml", ".idea/", "left by tools"),
        (".env~", ".env~", "left by tools"),
    ],
)
def test_what_is_no_part_of_a_program_is_left_out_and_counted(folder: Path, name: str, place: str, what: str) -> None:
    put(folder, name, f"token = {TOKEN}\n")
    if place == ".venv/":
        put(folder, ".venv/pyvenv.cfg", "home = /usr/bin\n")
    made, inspection = assembled(folder)
    assert inspection.diagnostics == []
    assert describe_excluded(made.excluded) == f"left out 1: {place} ({what})"
    assert [file.path for file in made.files] == ["code/inference.py"]


def test_a_name_that_holds_a_secret_is_refused_and_not_repeated(folder: Path) -> None:
    put(folder, f"{TOKEN}.txt", "x")
    _, inspection = assembled(folder)
    assert "its name contains a Hugging Face token" in str(inspection.diagnostics[0])
    assert TOKEN not in repr(inspection.diagnostics)


def test_a_file_full_of_secrets_does_not_fill_the_screen(folder: Path) -> None:
    put(folder, "a.txt", f"{TOKEN}\n" * 500)
    _, inspection = assembled(folder)
    assert len(inspection.diagnostics) == 21
    assert "480 more" in inspection.diagnostics[-1].message


def test_beyond_the_limit_a_file_is_hashed_and_not_searched(folder: Path) -> None:
    put(folder, "a.txt", f"{'x' * 99}\n" * (LIMIT // 100 + 1) + TOKEN)
    made, inspection = assembled(folder)
    assert inspection.diagnostics == []
    assert made.files[0].digest == hash_file(folder / "a.txt")


def test_a_file_is_searched_once_for_each_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searched: list[str] = []

    def search(name: str, _data: bytes) -> list[texts.Occurrence]:
        searched.append(name)
        return []

    monkeypatch.setattr(texts, "search", search)
    put(folder, "other.py", "y = 1\n")
    _, first = assembled(folder)
    put(folder, "other.py", "y = 2\n")
    second = Inspection(texts, known_clean=first.clean)
    scan(folder.parents[1], (WHERE,), {}, second)
    assert searched == ["inference.py", "other.py", "other.py"]
    (folder / "other.py").rename(folder / "other.yaml")
    scan(folder.parents[1], (WHERE,), {}, Inspection(texts, known_clean=second.clean))
    assert searched[3:] == ["other.yaml"]


def test_what_was_found_is_not_remembered_as_clean(folder: Path) -> None:
    put(folder, "a.py", f"t = '{TOKEN}'\n")
    _, inspection = assembled(folder)
    assert list(inspection.clean) == [f"{WHERE}/inference.py"]


def test_a_file_that_cannot_be_read_is_a_problem(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(_self: Inspection, _path: Path, _where: str) -> Digest:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Inspection, "read", failing)
    _, inspection = assembled(folder)
    inspection.read_sample(folder / "inference.py", "sample.json")
    assert [problem.location for problem in inspection.diagnostics] == [f"{WHERE}/inference.py", "sample.json"]
    assert {problem.message for problem in inspection.diagnostics} == {"cannot be read: Permission denied"}
