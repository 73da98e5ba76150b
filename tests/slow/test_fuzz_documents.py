"""Every parser of a document from outside, with documents that are almost right: a value, nothing, or one plain message."""

from __future__ import annotations

import json
import os
import random
import re
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import MultipartHandle, ObjectRef, S3Uri
from sagepack.decoding import MalformedError, seal
from sagepack.deploy.results import save_result
from sagepack.digest import Digest, fingerprint
from sagepack.engine.records import Record, Records
from sagepack.errors import SagepackError
from sagepack.hub import responses
from sagepack.hub.hash_cache import HashCache
from sagepack.package.lock import Lock, LockedFile, LockedPackage
from sagepack.package.manifest import Manifest, Member
from sagepack.package.revision import Revision
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.delta.parts import Copy, SentPart
from sagepack.publish.documents import Files, Index, Pointer, StoredFile
from sagepack.publish.keys import PackageFormat
from sagepack.publish.release import Release
from sagepack.publish.sealed import sealed
from sagepack.publish.upload.journal import CompletedPart, Journal, UploadSession
from sagepack.publish.upload.part_body import ContentRange
from sagepack.publish.verified import VerifiedObjects, verified_file
from sagepack.sandbox import process
from tests.helpers.fuzz import mutants
from tests.helpers.publishing import noise

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.slow

EACH = int(os.environ.get("SAGEPACK_FUZZ", "4500"))
PYTHON_NAMES = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b|\bTraceback\b|object at 0x")
SHA, COMMIT = "a" * 64, "b" * 40
FILES = {"model_index.json": b"{}", "unet/a.bin": noise(3000), "vae/empty": b"", "code/inference.py": b"print()\n"}
MANIFEST = Manifest.of(Member(path, len(data), Digest.sha256(data)) for path, data in FILES.items())
SUMS = [FramedChecksums(Checksums(1, 2, 3), ContentChecksum(4, member.size)) for member in MANIFEST.members]
NOW = datetime(2030, 1, 2, tzinfo=timezone.utc)


def parsed(text: bytes) -> Any:
    return json.loads(text)


def lock() -> Lock:
    files = (
        LockedFile("a/b.bin", 5, Digest("sha256", SHA), SHA),
        LockedFile("c.json", 7, Digest("sha256", SHA), COMMIT),
    )
    package = LockedPackage(
        "einops", "0.8.0", "einops-0.8.0-py3-none-any.whl", 1, Digest("sha256", SHA), "0.7", ("einops",)
    )
    digest = Digest("sha256", SHA)
    host = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
    return Lock(
        digest,
        Revision("o/m", COMMIT),
        files,
        (1, 2),
        "huggingface-pytorch-inference:2.6",
        digest,
        host,
        ("einops>=0.8",),
        (package,),
    )


def lock_document() -> Any:
    import yaml  # noqa: PLC0415 - the one document that is YAML

    return yaml.safe_load(lock().text())


def resealed_lock(document: Any) -> Any:
    body = {key: value for key, value in document.items() if key != "sum"}
    return {**body, "sum": str(fingerprint(body))}


def resealed(document: Any) -> Any:
    return sealed({key: value for key, value in document.items() if key != "sha256"})


def stored(write: Callable[[Path], Path], read: Callable[[Path], Any]) -> tuple[Any, Callable[[bytes, Path], Any]]:
    """A document that lives in a file: what it is, and how a changed one is read."""

    def parse(data: bytes, folder: Path) -> Any:
        path = write(folder)
        path.write_bytes(data)
        return read(folder)

    return write, parse


def write_record(folder: Path) -> Path:
    Records(folder).save(Record("tar", 1, {"a": "b", "n": 1}, {"size": 5}))
    return folder / "tar.json"


def write_trust(folder: Path) -> Path:
    target, path = folder / "weights", folder / "hash-cache.json"
    if not path.exists():
        target.write_bytes(b"weights")
        os.utime(target, ns=(10**18, 10**18))
        trust = HashCache(path)
        trust.digest(target)
        trust.save()
    return path


PACKAGE = S3Uri("b", "models/svd/0123456789abcdef")


def write_verified(folder: Path) -> Path:
    VerifiedObjects(folder).add(PACKAGE, {"k": verified_file('"e"', Digest("sha256", SHA), Checksums(1, 2, 3))})
    return next(folder.glob("*.json"))


def write_journal(folder: Path) -> Path:
    path, journal = folder / "x.jsonl", Journal(folder / "x.jsonl")
    parts = (SentPart(0, 10), Copy(10, 20, 0, 5))
    sources = (ObjectRef(S3Uri("b", "s"), '"e"'),)
    journal.begin(
        UploadSession(
            MultipartHandle(S3Uri("b", "k"), "id"), "CRC64NVME", "sha256:x", 30, parts, sources, (None, SUMS[1])
        )
    )
    journal.add(CompletedPart(1, '"e"', "AAAAAAAAAAA=", (ContentRange(0, 0, 0, SUMS[0]),)))
    journal.verified(0)
    return path


def write_state(folder: Path) -> Path:
    path = process.folder(folder) / "state.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


STATE = {
    "pid": 99999,
    "hub_url": "http://127.0.0.1:1",
    "aws_url": "http://127.0.0.1:2",
    "access_key": "A" * 20,
    "secret_key": "s" * 40,
    "hf_token": "hf_" + "0" * 34,
    "control": "0" * 32,
    "fingerprint": SHA,
}
LISTING = [
    {"type": "directory", "path": "a", "oid": COMMIT, "size": 0},
    {"type": "file", "path": "a/b", "oid": COMMIT, "size": 5, "lfs": {"oid": SHA, "size": 5, "pointerSize": 1}},
    {"type": "file", "path": "c.json", "oid": COMMIT, "size": 7},
]
INDEX = Index(MANIFEST, tuple(SUMS), '"e"', Checksums(7, 8, 0))
LIST = Files(tuple(StoredFile(m, '"e"', Checksums(1, 2, m.size)) for m in MANIFEST.members))
RELEASE = Release(
    "svd",
    PackageFormat.ARCHIVE,
    MANIFEST.digest,
    "s3://b/models/svd/0123456789abcdef/model.tar.gz",
    9,
    NOW,
    '"e"',
    None,
    {"CRC64NVME": "AAAAAAAAAAA="},
    {name: Digest("sha256", SHA) for name in ("index.json", "manifest.json", "provenance.json", "sbom.cdx.json")},
)

# Name -> a genuine document, how to make its own sum fit again (or None), and how it is read.
DOCUMENTS: dict[str, tuple[Any, Callable[[Any], Any] | None, Callable[[bytes, Path], Any]]] = {
    "lock": (lock_document(), resealed_lock, lambda data, _: Lock.parse(data, "the lock").text()),
    "manifest": (parsed(MANIFEST.text().encode()), None, lambda data, _: Manifest.parse(data).text()),
    "index": (parsed(INDEX.text()), resealed, lambda data, _: Index.parse(data)),
    "files": (parsed(LIST.text()), resealed, lambda data, _: Files.parse(data)),
    "pointer": (
        parsed(Pointer(Digest("sha256", SHA), "svd/0123456789abcdef").text()),
        None,
        lambda data, _: Pointer.parse(data),
    ),
    "release": (parsed(RELEASE.text()), resealed, lambda data, _: Release.parse(data)),
    "Hub listing": (LISTING, None, lambda data, _: responses.files_of([data])),
    "Hub revision": ({"sha": COMMIT, "id": "o/m"}, None, lambda data, _: responses.version_of(data)),
    "model_index.json": (
        {"_class_name": "P", "unet": ["diffusers", "UNet"], "vae": ["diffusers", "V"]},
        None,
        lambda data, _: responses.model_index_of(data),
    ),
    "answer of an endpoint": (
        {"frames": ["/9j/", "/9j/AAAA"]},
        None,
        lambda data, folder: save_result(data, folder / "out"),
    ),
}
# The same for documents in files of this machine, by what writes a genuine one.
LOCAL: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Any]]] = {
    "record": (write_record, lambda folder: Records(folder).load("tar")),
    "hash memory": (write_trust, lambda folder: HashCache(folder / "hash-cache.json").get(folder / "weights")),
    "verified objects": (write_verified, lambda folder: VerifiedObjects(folder).of(PACKAGE)),
    "journal": (write_journal, lambda folder: Journal(folder / "x.jsonl").read()),
}


def judge(parse: Callable[[bytes, Path], Any], data: bytes, folder: Path) -> None:
    try:
        parse(data, folder)
    except (SagepackError, MalformedError) as error:
        text = str(error)
        assert text, data
        assert not PYTHON_NAMES.search(text), (text, data)
        assert len(text) < 3000, (text, data)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_is_almost_right_is_a_value_or_a_plain_message(name: str, tmp_path: Path) -> None:
    genuine, reseal, parse = DOCUMENTS[name]
    parse(json.dumps(genuine).encode(), tmp_path)
    chance = random.Random(name)
    for number, mutant in enumerate(mutants(genuine, EACH, chance)):
        data = mutant
        if reseal and number % 2:
            with suppress(ValueError, TypeError, AttributeError, RecursionError):
                data = (
                    json.dumps(reseal(json.loads(mutant)), ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
                )
        judge(parse, data, tmp_path)


@pytest.mark.parametrize("name", LOCAL)
def test_a_file_of_this_machine_that_is_almost_right_is_a_value_or_nothing(name: str, tmp_path: Path) -> None:
    write, read = LOCAL[name]
    path = write(tmp_path)
    genuine = path.read_bytes()
    assert read(tmp_path) is not None
    chance = random.Random(name)
    content = json.loads(genuine)["content"] if name != "journal" else None
    for number in range(EACH):
        if content is not None and number % 2:
            version = json.loads(genuine)["format"]
            with suppress(ValueError, TypeError, RecursionError):
                path.write_bytes(seal(json.loads(next(mutants(content, 1, chance))), version))
        else:
            lines = genuine.split(b"\n")
            line = chance.randrange(len(lines))
            data = bytearray(lines[line])
            if data:
                data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
            lines[line] = bytes(data)
            path.write_bytes(b"\n".join(lines))
        read(tmp_path)  # no error of any kind


def test_a_state_of_the_sandbox_that_is_almost_right_is_no_sandbox(tmp_path: Path) -> None:
    path = write_state(tmp_path)
    for mutant in mutants(STATE, EACH, random.Random(7)):
        path.write_bytes(mutant)
        assert process.status(tmp_path) is None
