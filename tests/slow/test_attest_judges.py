"""Programs that nobody here wrote read what is said of a package: the validator of CycloneDX, in-toto, SLSA, and a verifier of DSSE."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.package.attest import dsse, provenance, sbom
from sagepack.package.attest.provenance import LOCAL, Origin, ProjectCommit
from sagepack.package.license import License
from sagepack.spec import licenses
from tests.helpers.bills import packaged
from tests.helpers.environments import environment
from tests.helpers.signing import P256, P384, KeyPair

if TYPE_CHECKING:
    from tests.helpers.bills import Packaged

pytestmark = pytest.mark.slow

JUDGE = Path(__file__).parent / "judges" / "attest.py"
REQUIREMENTS = [
    "cyclonedx-python-lib[json-validation]==11.12.0",
    "in-toto-attestation==0.9.3",
    "securesystemslib[crypto]==1.6.0",
]
PACKAGES = {
    "plain": packaged(),
    "wheels": packaged(vendor=True),
    "folder": packaged(revision=None, folder="/home/alice/mine"),
    "company": packaged(endpoint="https://hub.company:8443/models"),
    "odd": packaged(files=("é/a b%.bin", "x#y?.json"), license=License("mit, gemma", None, "https://x.example/a b")),
    "bare": packaged(files=(), packages=(), requirements=(), license=None, gated=None),
    "licences": packaged(license=License(", ".join(sorted(licenses.SPDX)))),
}
ORIGIN = Origin(LOCAL, ProjectCommit("b" * 40, clean=False, uri="git+https://git.company/team/models@refs/heads/main"))


@pytest.fixture(scope="module")
def python() -> Path:
    return environment("attest", REQUIREMENTS) / "python"


def judged(python: Path, what: str, files: list[Path]) -> list[dict[str, Any]]:
    """What the judge says of each file."""
    command = [str(python), str(JUDGE), what, *map(str, files)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: list[dict[str, Any]] = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(found) == len(files)
    return found


def made(package: Packaged) -> dict[str, Any]:
    return provenance.statement(package.spec, package.lock, package.manifest, ORIGIN)


@pytest.mark.parametrize("version", ["1.6", "1.7"])
def test_the_strict_validator_takes_every_bill_of_materials(python: Path, tmp_path: Path, version: str) -> None:
    files = []
    for name, package in PACKAGES.items():
        files.append(tmp_path / f"{name}.cdx.json")
        files[-1].write_bytes(sbom.text(sbom.document(package.spec, package.lock, package.manifest, version)))
    broken = json.loads(files[0].read_bytes())
    broken["components"][0]["licenses"] = [{"license": {"id": "my-own-1.0"}}]
    files.append(tmp_path / "broken.cdx.json")
    files[-1].write_text(json.dumps(broken))
    *found, of_broken = judged(python, "cyclonedx", files)
    assert [each["error"] for each in found] == [None] * len(PACKAGES)
    assert of_broken["error"]  # the judge is awake


def test_every_purl_is_read_back_by_the_reference(python: Path, tmp_path: Path) -> None:
    files = []
    for name, package in PACKAGES.items():
        files.append(tmp_path / f"{name}.cdx.json")
        files[-1].write_bytes(sbom.text(sbom.document(package.spec, package.lock, package.manifest)))
    for each in judged(python, "purl", files):
        assert each["purls"]
        for purl in each["purls"]:
            assert purl["name"] == purl["component"]
            assert purl["version"] == purl["expected"]


def test_in_toto_and_slsa_read_every_provenance(python: Path, tmp_path: Path) -> None:
    files = []
    for name, package in PACKAGES.items():
        files.append(tmp_path / f"{name}.json")
        files[-1].write_bytes(provenance.text(made(package)))
    for each, package in zip(judged(python, "provenance", files), PACKAGES.values(), strict=True):
        assert each["error"] is None
        assert each["builder"] == LOCAL
        assert each["dependencies"] == len(made(package)["predicate"]["buildDefinition"]["resolvedDependencies"])


@pytest.mark.parametrize("kind", [P256, P384])
def test_securesystemslib_verifies_a_signed_provenance(python: Path, tmp_path: Path, kind: Any) -> None:
    key, text = KeyPair.of("judged", kind), provenance.text(made(packaged()))
    bundle, public = tmp_path / "provenance.sigstore.json", tmp_path / "key.pub"
    bundle.write_bytes(dsse.signed_text(text, key.signer))
    public.write_bytes(key.public_pem)
    [found] = judged(python, f"dsse:{public}", [bundle])
    assert found == {"error": None, "payload": text.decode()}
    document = json.loads(bundle.read_bytes())
    document["dsseEnvelope"]["payloadType"] = "application/json"
    bundle.write_text(json.dumps(document))
    [found] = judged(python, f"dsse:{public}", [bundle])
    assert found["error"]
