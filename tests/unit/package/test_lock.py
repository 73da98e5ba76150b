"""The lock reads back as it was written; an edit, damage, half of it or something else in its place is told as that."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sagepack.digest import Digest, fingerprint
from sagepack.errors import UserError
from sagepack.package.license import License
from sagepack.package.lock import MAX_BYTES, Lock, LockedFile, LockedPackage, OldLockError, lock_inputs_digest
from sagepack.package.manifest import check_paths
from sagepack.package.revision import Revision
from sagepack.spec import images
from tests.helpers import specs
from tests.helpers.paths import ROOT

REGISTRY = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
SHA = st.binary(max_size=4).map(Digest.sha256)


def is_path(path: str) -> bool:
    try:
        check_paths([path])
    except UserError:
        return False
    return True


FILES = st.builds(
    LockedFile,
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]), min_size=1, max_size=60).filter(is_path),
    st.integers(0, 2**63 - 1),
    SHA,
    st.sampled_from(["a" * 40, "1" * 40, "b" * 64]),
    st.sampled_from([None, "safe", "no"]),
    st.sampled_from([(), ("would call a.B when loaded (byte 1)", "1e5")]),
)
LOCKS = st.builds(
    Lock,
    spec_digest=SHA,
    revision=st.builds(Revision, st.just("owner/name"), st.sampled_from(["0123456789" * 4, "1" * 40])),
    files=st.lists(FILES, max_size=4, unique_by=lambda file: file.path.casefold()).map(tuple),
    excluded=st.tuples(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1)),
    image=st.just("huggingface-pytorch-inference:2.6.0"),
    image_digest=SHA,
    image_registry=st.just(REGISTRY),
    requirements=st.sampled_from([(), ("av==1.0",), ("imageio[ffmpeg]>=2.37,<3", "1e5==7")]),
    packages=st.lists(
        st.builds(
            LockedPackage,
            name=st.sampled_from(["av", "1e5", "huggingface-hub"]),
            version=st.sampled_from(["1.0", "1e5", "2.6.0+cu124", "1!2.0.post1"]),
            file=st.just("av-1.0-cp312-cp312-manylinux_2_28_x86_64.whl"),
            size=st.integers(0, 2**63 - 1),
            digest=SHA,
            image=st.sampled_from([None, "", "1.0", "1e5"]),
            modules=st.sampled_from([None, (), ("av",), ("google.protobuf", "no", "on")]),
            license=st.sampled_from([None, "MIT", "no: 1e5"]),
        ),
        max_size=2,
        unique_by=lambda package: package.name,
    ).map(tuple),
    endpoint=st.sampled_from([None, "https://hub.company", "http://127.0.0.1:8080/hf"]),
    license=st.sampled_from([None, License("mit"), License("other", "1e5", "LICENSE: md")]),
    gated=st.sampled_from([None, "auto", "manual"]),
    task=st.sampled_from([None, "text-to-image", "any-to-any"]),
    scan=st.sampled_from([None, 1, 7]),
)
FOLDERS = st.builds(
    lambda lock, folder: replace(lock, revision=None, endpoint=None, folder=folder),
    LOCKS,
    st.sampled_from(["models/sst2", "/mnt/models/1e5", "7", "."]),
)
ONE = Lock(
    Digest.sha256(b""),
    Revision("owner/name", "0" * 40),
    (LockedFile("1e5", 1, Digest("sha256", "0" * 63 + "1"), "0" * 63 + "1"),),
    (0, 0),
    "repository:tag",
    Digest.sha256(b"i"),
    REGISTRY,
)
TEXT = ONE.text().encode()
SCHEMA = json.loads((ROOT / "schemas" / "lock.schema.json").read_text())


def told(data: bytes) -> str:
    """What is said of a lock that is refused."""
    with pytest.raises(UserError) as caught:
        Lock.parse(data, "config/locks/svd-prod.lock.yaml")
    assert (caught.value.where or "").startswith("config/locks/svd-prod.lock.yaml")
    assert "\n" not in caught.value.message
    assert "invoke lock" in (caught.value.fix or "")
    assert not any(name in str(caught.value) for name in ("Error", "Exception", "NoneType"))
    return caught.value.message


def summed(document: dict[str, Any]) -> bytes:
    """A lock whose sum fits, as somebody writes it who means harm."""
    document = {key: value for key, value in document.items() if key != "sum"}
    return json.dumps(document | {"sum": str(fingerprint(document))}, indent=1).encode()  # JSON is YAML


def changed(path: tuple[str | int, ...], value: Any) -> bytes:
    """A lock in which one value is another, and the sum fits."""
    document = yaml.safe_load(TEXT)
    part = document
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return summed(document)


@given(LOCKS | FOLDERS)
def test_a_lock_reads_back_as_it_was_written(lock: Lock) -> None:
    try:
        check_paths([file.path for file in lock.files])
    except UserError:
        return  # a file and a folder of one name
    assert Lock.parse(lock.text().encode(), "x") == lock
    written = yaml.safe_load(lock.text())["model"]
    assert (written.get("commit"), written.get("path")) == (lock.revision and lock.revision.commit, lock.folder)


def test_names_and_digests_that_look_like_numbers_stay_text() -> None:
    assert Lock.parse(TEXT, "x").files[0] == ONE.files[0]
    numeric = replace(ONE, revision=Revision("owner/name", "1" * 40))
    assert Lock.parse(numeric.text().encode(), "x").revision == Revision("owner/name", "1" * 40)


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"3",
        b"text",
        b"version: 1\n",
        b"version: 9\n",
        b"version: 2\n",
        b"version: 3\n",
        b"a: [",
        b"\t",
        b"\xff\xfe",
        b"a: \x00",
        b"!!python/object:os.system {}",
        b"a: &x [*x]\n",
        b"a: 1\na: 2\n",
        b"- a\n---\n- b\n",
    ],
)
def test_what_is_no_lock_says_so_and_what_to_do(data: bytes) -> None:
    assert "lock" in told(data)


@pytest.mark.parametrize("data", [b"", b"\n \n", b"# Made by `invoke lock`\n", b"---\n", b"null\n"])
def test_an_empty_lock_is_reported_as_such(data: bytes) -> None:
    assert told(data) == "the lock is empty"


def test_a_lock_that_was_cut_anywhere_is_refused() -> None:
    for end in range(len(TEXT) - 1):
        told(TEXT[:end])
    assert "the end of the lock is missing" in told(TEXT[: TEXT.index(b"requirements")])


@pytest.mark.parametrize("newline", [b"\n", b"\r\n"])
def test_a_merge_conflict_is_reported_with_its_line(newline: bytes) -> None:
    head, line, tail = TEXT.partition(b"archive_format: 1\n")
    conflict = b"<<<<<<< HEAD\n" + line + b"=======\narchive_format: 1 \n>>>>>>> theirs\n"
    data = (head + conflict + tail).replace(b"\n", newline)
    with pytest.raises(UserError, match="merge conflict") as caught:
        Lock.parse(data, "x")
    assert caught.value.where == f"x:{len(head.splitlines()) + 1}"


def test_no_flipped_bit_gives_another_lock() -> None:
    """Of 8 bits a byte; those that change nothing but a comment or the layout give the same lock."""
    refused = 0
    for bit in range(8 * len(TEXT)):
        data = bytearray(TEXT)
        data[bit // 8] ^= 1 << bit % 8
        try:
            assert Lock.parse(bytes(data), "x") == ONE
        except UserError:
            refused += 1
    assert refused > 4 * len(TEXT)


def test_an_edit_by_hand_is_reported_as_such() -> None:
    for old, new in ((b"path: '1e5'", b"path: other"), (b"size: 1", b"size: 2"), (b"owner/name", b"owner/evil")):
        assert told(TEXT.replace(old.replace(b"'", b'"'), new)) == "the lock was edited or damaged: its sum is wrong"


FILE = ("model", "files", 0)
PACKAGES = ("requirements", "packages")
PACKAGE = {"name": "a", "version": "1", "file": "a-1-py3-none-any.whl", "size": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ((*FILE, "etag"), "../../../../home/.bashrc", "model.files[0].etag"),
        ((*FILE, "etag"), "/etc/passwd", "model.files[0].etag"),
        ((*FILE, "etag"), "a" * 41, "model.files[0].etag"),
        ((*FILE, "etag"), "a" * 40 + "\n", "model.files[0].etag"),
        ((*FILE, "path"), "../evil.json", "not a plain relative path"),
        ((*FILE, "path"), "/etc/passwd", "not a plain relative path"),
        ((*FILE, "path"), "a\u202egpj.exe", "RIGHT-TO-LEFT OVERRIDE (U+202E)"),
        ((*FILE, "path"), {"a": "b"}, "model.files[0].path"),
        ((*FILE, "path"), "", "model.files[0].path"),
        ((*FILE, "path"), "a/" * 1500 + "b", "more than 255 folders"),
        ((*FILE, "path"), "a" * 5000, "model.files[0].path"),
        ((*FILE, "size"), -1, "model.files[0].size"),
        ((*FILE, "size"), 2**63, "model.files[0].size"),
        ((*FILE, "size"), "1", "model.files[0].size"),
        ((*FILE, "size"), ".inf", "model.files[0].size"),
        ((*FILE, "size"), True, "model.files[0].size"),
        ((*FILE, "sha256"), "A" * 64, "model.files[0].sha256"),
        ((*FILE, "more"), 1, "more"),
        (("model", "files"), {}, "model.files"),
        (("model", "files"), [{"path": "a", "size": 1, "sha256": "0" * 64}] * 2, "occurs twice"),
        (("model", "commit"), "main", "model.commit"),
        (("model", "id"), "../../x", "model.id"),
        (("model", "id"), "only-a-name", "model.id"),
        (("model", "path"), "models/sst2", "id and commit, or path"),
        (("model", "endpoint"), "https://me:secret@hub", "model.endpoint"),
        (("image", "registry"), "evil.example/a", "image.registry"),
        (("image", "registry"), "763104351884.dkr.ecr.us-east-1.amazonaws.com/x@", "image.registry"),
        (("image", "name"), "repository@sha256:0", "image.name"),
        (("image", "digest"), "sha256:0", "image.digest"),
        (("spec_digest",), "md5:0", "spec_digest"),
        (("requirements", "declared"), ["--index-url=http://evil"], "requirements.declared[0]"),
        (("requirements", "declared"), ["a==1\nb==2"], "requirements.declared[0]"),
        (PACKAGES, [{**PACKAGE, "name": "../evil"}], "requirements.packages[0].name"),
        (PACKAGES, [{**PACKAGE, "version": "1 --index-url=http://evil"}], "requirements.packages[0].version"),
        (PACKAGES, [{**PACKAGE, "file": "../evil.whl"}], "requirements.packages[0].file"),
        (PACKAGES, [{**PACKAGE, "file": "a-1.tar.gz"}], "requirements.packages[0].file"),
        (PACKAGES, [{**PACKAGE, "sha256": "0"}], "requirements.packages[0].sha256"),
        (PACKAGES, [{**PACKAGE, "size": -1}], "requirements.packages[0].size"),
        (PACKAGES, [{**PACKAGE, "image": "new\nline"}], "requirements.packages[0].image"),
        (PACKAGES, [{**PACKAGE, "modules": ["a b"]}], "requirements.packages[0].modules"),
        (PACKAGES, [PACKAGE, PACKAGE], "requirements: a occurs twice"),
        (("archive_format",), 3, "archive format 3"),
        (("archive_format",), "1", "archive format '1'"),
        (("version",), 3, "version 3"),
        (("version",), 5, "version 5"),
    ],
)
def test_a_lock_with_a_fitting_sum_is_checked_field_by_field(
    path: tuple[str | int, ...], value: Any, text: str
) -> None:
    assert text in told(changed(path, value))


@pytest.mark.parametrize("key", ["version", "spec_digest", "archive_format", "image", "model", "requirements"])
def test_the_schema_and_the_reader_agree_on_what_is_missing(key: str) -> None:
    document = yaml.safe_load(TEXT)
    jsonschema.validate(document, SCHEMA)
    del document[key]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)
    told(summed(document))


@pytest.mark.slow
@pytest.mark.parametrize("unit", ["[", "- ", "{a: ", "a:\n "])
def test_a_deep_lock_is_refused_in_one_line_and_crashes_nothing(tmp_path: Path, unit: str) -> None:
    """In a process of its own: what is tested is that it does not die of a full stack."""
    (tmp_path / "lock.yaml").write_text(unit * 50_000)
    script = """
import sys
from pathlib import Path
from sagepack.errors import UserError
from sagepack.package.lock import Lock
try:
    Lock.parse(Path(sys.argv[1]).read_bytes(), "lock.yaml")
except UserError as error:
    sys.exit(error.message)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "lock.yaml")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert (run.returncode, run.stderr.count("\n")) == (1, 1), run.stderr[-300:]
    assert run.stderr.startswith("this is not a lock: ")


def test_a_lock_is_read_up_to_a_size_and_a_number_of_values() -> None:
    assert "bytes; at most" in told(b"#" * (MAX_BYTES + 1))
    assert "more than 500,000 values" in told(b"a: &x [" + b"1," * 1000 + b"]\nb: [" + b"*x," * 1000 + b"]\n")


def test_a_lock_answers_the_spec_that_it_was_made_for_and_no_other_says_so_of_itself(tmp_path: Path) -> None:
    spec = specs.load(tmp_path).spec()
    lock = replace(
        ONE,
        spec_digest=lock_inputs_digest(spec),
        revision=Revision("owner/toy", specs.COMMIT),
        image=f"{spec.image.repository}:{spec.image.tag}",
        image_registry=images.registry(spec.aws.region),
    )
    assert lock.is_current(spec)
    other_registry = REGISTRY.replace("7631", "9999")
    for other in (
        replace(lock, spec_digest=Digest.sha256(b"x")),
        replace(lock, revision=Revision("owner/evil", specs.COMMIT)),
        replace(lock, revision=Revision("owner/toy", "0" * 40)),
        replace(lock, revision=None, folder="models/toy"),
        replace(lock, endpoint="https://evil.example"),
        replace(lock, image="other:tag"),
        replace(lock, image_registry=other_registry),
        replace(lock, requirements=("evil==1",)),
    ):
        assert not other.is_current(spec)


def test_a_lock_of_an_earlier_format_is_told_as_one_that_is_written_again() -> None:
    for version, kind in ((1, OldLockError), (3, OldLockError), (0, UserError), (5, UserError)):
        with pytest.raises(UserError) as caught:
            Lock.parse(b"version: %d\n" % version, "x")
        assert type(caught.value) is kind


def test_a_lock_of_a_folder_answers_the_spec_that_names_the_folder(tmp_path: Path) -> None:
    sets = ["model.id=null", "model.revision=null", "model.path=models/toy"]
    spec = specs.load(tmp_path, sets).spec()
    lock = replace(
        ONE,
        spec_digest=lock_inputs_digest(spec),
        revision=None,
        folder="models/toy",
        image=f"{spec.image.repository}:{spec.image.tag}",
        image_registry=images.registry(spec.aws.region),
    )
    assert lock.is_current(spec)
    assert not replace(lock, folder="models/other").is_current(spec)
    assert not replace(lock, revision=Revision("owner/toy", specs.COMMIT), folder=None).is_current(spec)


def test_the_hub_that_a_spec_names_is_a_part_of_what_is_locked_except_in_the_sandbox(tmp_path: Path) -> None:
    plain, company = (specs.load(tmp_path, sets).spec() for sets in ([], ["hub.endpoint=https://hub.company/"]))
    assert company.hub_endpoint == "https://hub.company"
    assert lock_inputs_digest(plain) != lock_inputs_digest(company)
    sandboxed = specs.load(tmp_path, ["hub.endpoint=https://hub.company", "sandbox=true"]).spec()
    assert lock_inputs_digest(sandboxed) == lock_inputs_digest(plain)


def test_the_image_is_named_by_its_digest() -> None:
    assert ONE.image_uri == f"{REGISTRY}/repository@{ONE.image_digest}"
