"""The signatures beside a package, and what all that a deployment verifies weighs."""

from __future__ import annotations

from datetime import datetime, timezone

from sagepack.aws.s3 import S3Uri
from sagepack.digest import Digest
from sagepack.package.attest import provenance, sbom
from sagepack.publish.checksums import Checksums, FramedChecksums
from sagepack.publish.documents import Index
from sagepack.publish.keys import Package, PackageFormat
from sagepack.publish.release import Release
from sagepack.publish.signatures import sign
from tests.helpers.bills import packaged
from tests.helpers.signing import KeyPair

NOW = datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
ETAG = f'"{"0" * 32}-1234"'


def weight(files: int) -> int:
    """Bytes that a deployment reads to verify a package of so many files of the model."""
    one = packaged(
        files=tuple(f"unet/diffusion_pytorch_model-{n:05d}-of-{files:05d}.safetensors" for n in range(files))
    )
    package = Package(S3Uri("bucket", "models"), "svd", one.manifest.digest, PackageFormat.ARCHIVE)
    sums, size = Checksums.of(b""), sum(member.size for member in one.manifest.members)
    documents = {
        "index.json": Index(one.manifest, (FramedChecksums(),) * len(one.manifest.members), ETAG, sums).text(),
        "manifest.json": one.manifest.text().encode(),
        "provenance.json": provenance.text(provenance.statement(one.spec, one.lock, one.manifest)),
        "sbom.cdx.json": sbom.text(sbom.document(one.spec, one.lock, one.manifest)),
    }
    release = Release(
        package.name,
        package.format,
        package.digest,
        str(package.model_uri),
        size,
        NOW,
        ETAG,
        None,
        {"CRC64NVME": "AAAAAAAAAAA="},
        {name: Digest.sha256(data) for name, data in documents.items()},
    )
    signatures = sign(package, one.manifest, release, documents["provenance.json"], KeyPair.of("ours").signer, NOW)
    return sum(map(len, [release.text(), *documents.values(), *signatures.values()]))


def test_what_is_read_to_verify_is_less_than_1_mib_for_500_files_of_any_size() -> None:
    assert weight(500) < 1 << 20
