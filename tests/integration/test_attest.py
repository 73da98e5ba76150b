"""Bill of materials and provenance, from the command to what lies in the bucket."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.digest import Digest
from sagepack.errors import IntegrityError, UserError
from sagepack.package.attest import dsse, provenance, sbom
from sagepack.publish.release import Release
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of
from tests.helpers.signing import KeyPair

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

KEY = KeyPair.of("ours")
SIGN, NONE = "trust.sign=env:SIGNING_KEY", "trust.sbom=none"
WORKFLOW = "team/models/.github/workflows/publish.yml@refs/heads/main"


class Published(Cloud):
    """A project, and what it has published."""

    bucket = "sagepack-sandbox"

    @property
    def s3(self) -> Any:
        return session_of(self.servers).client("s3")

    @property
    def objects(self) -> dict[str, str]:
        """The keys under the name by the last part of them, without those of the model."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="models/svd/").get("Contents", [])
        return {each["Key"].rpartition("/")[2]: each["Key"] for each in listed if "/model/" not in each["Key"]}

    def get(self, name: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=self.objects[name])["Body"].read())

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.objects[name], Body=data)

    def commit(self, message: str) -> str:
        """Commit whatever is in the project."""
        for words in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "--allow-empty", "-m", message]):
            identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
            subprocess.run(["git", "-C", str(self.root), *identity, *words], check=True, capture_output=True)
        command = ["git", "-C", str(self.root), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Published:
    monkeypatch.setenv("SIGNING_KEY", KEY.private_pem.decode())
    root = tmp_path / "project"
    root.mkdir()
    return Published(root, sandbox, monkeypatch)


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_the_bill_beside_a_package_is_the_one_that_is_printed(cloud: Published, layout: str) -> None:
    sets = (f"artifact.layout={layout}",)
    cloud.project(*sets).upload()
    assert cloud.get("sbom.cdx.json") == sbom.text(cloud.project(*sets).sbom().document)
    found = cloud.project(*sets).verify_remote()
    assert (found.sbom, found.builder, found.signature) == (True, provenance.LOCAL, None)
    assert cloud.project().sbom("1.7").document["specVersion"] == "1.7"
    with pytest.raises(UserError, match="no bill of materials"):
        cloud.project().sbom("1.5")


def test_who_wants_no_bill_gets_none_and_who_wants_one_later_sends_nothing_else(cloud: Published) -> None:
    cloud.project(NONE).upload()
    assert "sbom.cdx.json" not in cloud.objects
    assert cloud.project(NONE).verify_remote().sbom is False
    [upload] = [step for step in cloud.project().plan("upload").actions if step.runs]
    assert upload.send == 0
    assert "some documents" in upload.reasons[0]
    cloud.project().upload()
    assert cloud.project().verify_remote().sbom
    assert not any(step.runs for step in cloud.project().plan("upload").actions)
    assert not any(step.runs for step in cloud.project(NONE).plan("upload").actions)


def test_documents_of_another_lock_of_the_same_files_are_told_and_written_again_once_deleted(cloud: Published) -> None:
    cloud.project().upload()
    assert cloud.project().verify_remote().earlier == ()
    spec = cloud.root / "config" / "svd.yaml"
    spec.write_text(spec.read_text().replace("transformers4.51.3", "transformers5.5.3"))
    cloud.project().lock()
    assert not any(step.runs for step in cloud.project().plan("upload").actions)
    found = cloud.project().verify_remote()
    assert found.earlier == ("provenance.json", "sbom.cdx.json")
    for name in found.earlier:
        cloud.s3.delete_object(Bucket=cloud.bucket, Key=cloud.objects[name])
    cloud.project().upload()
    assert cloud.project().verify_remote().earlier == ()


def test_a_workflow_names_itself_and_its_commit_and_publishes_the_same_package(
    cloud: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.project().lock()
    commit = cloud.commit("lock")
    for name, value in {
        "GITHUB_ACTIONS": "true",
        "GITHUB_SERVER_URL": "https://github.com",
        "GITHUB_WORKFLOW_REF": WORKFLOW,
        "GITHUB_REPOSITORY": "team/models",
        "GITHUB_REF": "refs/heads/main",
    }.items():
        monkeypatch.setenv(name, value)
    cloud.project().upload()
    found = cloud.project().verify_remote()
    assert (found.builder, found.commit) == (f"https://github.com/{WORKFLOW}", commit)
    monkeypatch.delenv("GITHUB_ACTIONS")
    (cloud.root / "notes.txt").write_text("")
    assert not any(step.runs for step in cloud.project().plan("upload").actions)


@pytest.mark.slow
def test_who_signs_from_another_commit_signs_the_provenance_that_is_there(cloud: Published) -> None:
    cloud.commit("begin")
    cloud.project().upload()
    before = cloud.get("provenance.json")
    cloud.commit("another")
    assert cloud.project(SIGN).sign().changed
    assert dsse.opened_text(cloud.get("provenance.sigstore.json"), [KEY.public]) == (before, KEY.public)
    assert cloud.get("provenance.json") == before
    assert cloud.project(SIGN).verify_remote().signature
    assert not any(step.runs for step in cloud.project(SIGN).plan("upload").actions)


@pytest.mark.slow
def test_a_signed_provenance_that_is_lost_is_written_again_and_no_byte_of_the_model(cloud: Published) -> None:
    cloud.project(SIGN).upload()
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=cloud.objects["provenance.sigstore.json"])
    [upload] = [step for step in cloud.project(SIGN).plan("upload").actions if step.runs]
    assert upload.send == 0
    cloud.project(SIGN).upload()
    assert cloud.project(SIGN).verify_remote().signature


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_what_was_published_first_keeps_its_provenance_and_nothing_is_overwritten(
    cloud: Published, layout: str
) -> None:
    sets = (f"artifact.layout={layout}",)
    first = cloud.commit("begin")
    cloud.project(*sets, NONE).upload()
    written = {name: cloud.get(name) for name in ("provenance.json", "manifest.json")}
    cloud.commit("another")
    cloud.project(*sets).upload()
    assert {name: cloud.get(name) for name in written} == written
    assert (found := cloud.project(*sets).verify_remote()).sbom
    assert found.commit == first


@pytest.mark.slow
def test_who_signs_while_publishing_does_not_sign_the_word_of_another_builder(cloud: Published) -> None:
    cloud.commit("begin")
    cloud.project().upload()
    second = cloud.commit("another")
    cloud.project(SIGN).upload()
    found = cloud.project(SIGN).verify_remote()
    assert found.signature
    assert found.commit == second


def test_nobody_signs_a_forged_bill_though_the_record_lists_it(cloud: Published) -> None:
    cloud.project().upload()
    document = json.loads(cloud.get("sbom.cdx.json"))
    document["components"][0]["licenses"] = [{"license": {"id": "MIT", "acknowledgement": "declared"}}]
    cloud.put("sbom.cdx.json", sbom.text(document))
    [record] = [name for name, key in cloud.objects.items() if "/releases/" in key]
    release = Release.parse(cloud.get(record))
    assert release
    documents = {**release.documents, "sbom.cdx.json": Digest.sha256(sbom.text(document))}
    cloud.put(record, replace(release, documents=documents).text())
    with pytest.raises(IntegrityError, match="lists something else than lock and code make"):
        cloud.project(SIGN).sign()
    assert "release.sig" not in cloud.objects
