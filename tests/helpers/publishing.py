"""What the tests of publishing share: packages of random bytes, and one call that observes, plans and publishes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import S3, S3Uri, WriteOptions
from sagepack.aws.session import Aws, AwsConnection
from sagepack.digest import Digest
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.source import Source as ArchiveSource
from sagepack.package.archive.writer import write
from sagepack.package.attest import provenance, sbom
from sagepack.package.manifest import Manifest, Member
from sagepack.progress import Silent
from sagepack.publish.delta.parts import Limits
from sagepack.publish.keys import Package, PackageFormat
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.publisher import Published, publish
from sagepack.publish.signatures import known_release
from sagepack.publish.upload.sources import LocalFiles, Source
from sagepack.publish.verified import VerifiedObjects
from tests.helpers.lending import lend

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.package.attest.dsse import Signer
    from sagepack.package.attest.keys import PublicKey
    from sagepack.publish.upload_plan import UploadPlan

KiB, MiB = 1 << 10, 1 << 20
LIMITS = Limits(sent_size=10 * MiB)  # small parts, so that a small package has several
NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)


@lru_cache(maxsize=64)
def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that nothing else has."""
    return random.Random(seed).randbytes(size)


def svd_like(unet: int = 6 * MiB + 1) -> dict[str, bytes]:
    """A package in the shape of a diffusers model: two large files among small ones."""
    return {
        "model_index.json": b"{}",
        "image_encoder/config.json": noise(500, 1),
        "image_encoder/model.safetensors": noise(5 * MiB + 77, 2),
        "unet/config.json": noise(900, 3),
        "unet/model.safetensors": noise(unet, 4),
        "vae/config.json": b"",
        "code/inference.py": b"print('one')\n" * 40,
        "code/requirements.txt": b"einops==0.8.0\n",
    }


@dataclass
class Tree:
    """The files of a package on disk."""

    folder: Path
    files: dict[str, bytes]

    def __post_init__(self) -> None:
        for path, data in self.files.items():
            place = self.folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            if not place.exists() or place.read_bytes() != data:
                place.write_bytes(data)

    @cached_property
    def manifest(self) -> Manifest:
        return Manifest.of(Member(path, len(data), Digest.sha256(data)) for path, data in self.files.items())

    @property
    def layout(self) -> Layout:
        return Layout.of(self.manifest.members)

    def local(self, only: str = "") -> LocalFiles:
        """The files as a source; those under `only` alone, if that is given."""
        return LocalFiles(
            {
                member.digest: self.folder / member.path
                for member in self.manifest.members
                if member.path.startswith(only)
            }
        )

    def build(self) -> bytes:
        """The archive as the writer makes it."""
        target = self.folder.parent / f"{self.folder.name}.tar.gz"
        members = self.manifest.members
        write([ArchiveSource(m.path, m.size, m.executable, self.folder / m.path, m.digest) for m in members], target)
        return target.read_bytes()


def provenance_of(tree: Tree) -> dict[str, Any]:
    """As much of a provenance as says what it is about."""
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [
            {"name": "manifest.json", "digest": {"sha256": Digest.sha256(tree.manifest.text().encode()).value}}
        ],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }


def bill_of(tree: Tree) -> dict[str, Any]:
    """As much of a bill of materials as says what it is of."""
    properties = [{"name": "sagepack:manifest", "value": str(tree.manifest.digest)}]
    return {"bomFormat": "CycloneDX", "metadata": {"component": {"properties": properties}}}


def connect(url: str, sandbox: Any, options: WriteOptions | None = None) -> S3:
    """S3 at `url` (the sandbox's own, or a proxy before it)."""
    connection = AwsConnection("us-east-1", None, url, sandbox.access_key, sandbox.secret_key)
    aws = Aws(connection)
    if url == getattr(sandbox, "aws_url", None):
        lend(aws)
    return S3(aws.client("s3"), options)


@dataclass
class Bucket:
    """A bucket, and publishing into it."""

    store: S3
    target: S3Uri
    journals: Path
    notes: list[str] = field(default_factory=list)
    keys: tuple[PublicKey, ...] = ()
    signer: Signer | None = None

    @property
    def verified(self) -> VerifiedObjects:
        """What the machine with these journals remembers."""
        return VerifiedObjects(self.journals / "verified")

    def package(self, tree: Tree, name: str = "svd", layout: str = "archive") -> Package:
        return Package(self.target, name, tree.manifest.digest, PackageFormat(layout))

    def plan(
        self,
        tree: Tree,
        name: str = "svd",
        reuse_from: Sequence[S3Uri] = (),
        layout: str = "archive",
        limits: Limits = LIMITS,
    ) -> UploadPlan:
        package = self.package(tree, name, layout)
        must_sign = self.signer is not None
        seen = observe(
            self.store,
            package,
            tree.manifest,
            reuse_from,
            limits,
            self.verified,
            signed=partial(known_release, keys=self.keys) if self.keys else None,
            must_sign=must_sign,
            needs_sbom=True,
        )
        return plan_upload(seen, tree.manifest, limits)

    def publish(
        self, tree: Tree, plan_: UploadPlan | None = None, sources: Sequence[Source] | None = None, **options: Any
    ) -> Published:
        documents = {"provenance": provenance.text(provenance_of(tree)), "sbom": sbom.text(bill_of(tree))}
        return publish(
            self.store,
            plan_ or self.plan(tree),
            [tree.local()] if sources is None else sources,
            self.journals,
            progress=Notes(self.notes),
            verified=self.verified,
            signer=self.signer,
            now=NOW,
            **documents | options,
        )

    def get(self, location: S3Uri) -> bytes:
        data = self.store.read(location)
        assert data is not None
        return data

    def archive(self, tree: Tree, name: str = "svd") -> bytes:
        return self.get(self.package(tree, name).model_uri)

    def listing(self) -> list[str]:
        return [listed.location.key for listed in self.store.list(self.target)]


class Notes(Silent):
    """Progress that keeps its notes."""

    def __init__(self, notes: list[str]) -> None:
        self._notes = notes

    def note(self, text: str) -> None:
        self._notes.append(text)
