"""Signing and verifying as a user does it: from the spec's keys to what `deploy` refuses."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api import live, served_package
from sagepack.aws.s3 import ChangedError
from sagepack.aws.session import AccessDeniedError
from sagepack.digest import Digest
from sagepack.engine import signed
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.keys import PublicKey
from sagepack.package.manifest import Manifest, Member
from sagepack.publish import gate
from sagepack.publish.documents import Index
from sagepack.publish.release import Release
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec import pem
from tests.helpers import chains
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of
from tests.helpers.forgery import collision, patched
from tests.helpers.signing import P384, KeyPair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.sandbox.servers import Servers
    from tests.helpers.chains import Certified

OURS, THEIRS = KeyPair.of("ours"), KeyPair.of("theirs", P384)
VERIFY = "trust.verify=[config/keys/ours.pub]"
MiB = 1 << 20


class Signed(Cloud):
    """A project with two pairs of keys, whose private parts lie outside of it."""

    def __init__(self, root: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, servers, monkeypatch)
        keys = root / "config" / "keys"
        for name, pair in (("ours", OURS), ("theirs", THEIRS)):
            private, _ = pair.write(keys, name)
            private.rename(root.parent / private.name)
        self.sign = f"trust.sign=file:{root.parent}/ours.pem"
        self.sign_theirs = f"trust.sign=file:{root.parent}/theirs.pem"
        self.s3 = session_of(servers).client("s3")
        self.bucket = servers.bucket

    @property
    def keys(self) -> list[str]:
        """The keys of the package, without the prefix."""
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix="models/svd/")["Contents"]
        return [each["Key"] for each in listed if "/releases/" not in each["Key"]]

    def key(self, name: str) -> str:
        """The key of one of its objects."""
        [found] = [key for key in self.keys if key.endswith(f"/{name}")]
        return found

    def get(self, name: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.bucket, Key=self.key(name))["Body"].read())

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=self.key(name), Body=data)

    def unsign(self) -> None:
        for name in ("model.sig", "release.sig", "provenance.sigstore.json"):
            self.s3.delete_object(Bucket=self.bucket, Key=self.key(name))

    def other_machine(self) -> None:
        """Forget what this machine knows of objects in S3."""
        for path in (self.root / "build" / "verified").glob("*"):
            path.unlink()

    @property
    def models(self) -> list[Any]:
        return list(session_of(self.servers).client("sagemaker").list_models()["Models"])

    @property
    def read(self) -> int:
        """Requests of the last command that read the archive."""
        log = self.servers.aws.faults.log
        return sum(1 for each in log if each.method == "GET" and each.path.endswith("model.tar.gz"))

    def kms(self, spec: str = "ECC_NIST_P256", usage: Any = "SIGN_VERIFY") -> str:
        """The ARN of a new key."""
        client = session_of(self.servers).client("kms")
        return str(client.create_key(KeySpec=spec, KeyUsage=usage)["KeyMetadata"]["Arn"])


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Signed:
    root = tmp_path / "project"
    root.mkdir()
    return Signed(root, sandbox, monkeypatch)


def refused(command: Callable[[], object], error: type[SagepackError]) -> SagepackError:
    with pytest.raises(error) as caught:
        command()
    return caught.value


def test_what_is_uploaded_with_a_key_is_signed_and_serves_where_the_key_counts(cloud: Signed) -> None:
    project = cloud.project(cloud.sign, VERIFY)
    built = project.deploy()
    assert built.endpoint
    signature = cloud.project(VERIFY).verify_remote().signature
    assert signature
    assert (signature.key, signature.hint) == ("config/keys/ours.pub", OURS.public.hint)
    plan = cloud.project(cloud.sign, VERIFY).plan("deploy")
    assert [action.status for action in plan.actions][-2:] == ["skip", "skip"]
    assert "signed by config/keys/ours.pub" in plan.actions[-2].reasons[0]


@pytest.mark.slow
@pytest.mark.parametrize("spec", ["ECC_NIST_P256", "ECC_NIST_P384"])
def test_a_key_of_kms_signs_and_its_public_key_verifies(cloud: Signed, spec: str) -> None:
    key = cloud.kms(spec)
    project = cloud.project(f"trust.sign=kms:{key}")
    assert project.upload().artifact
    der = session_of(cloud.servers).client("kms").get_public_key(KeyId=key)["PublicKey"]
    public = PublicKey.read("kms.pub", pem.text(der))
    assert oms.signed_files(cloud.get("model.sig"), [public])
    (cloud.root / "config" / "keys" / "kms.pub").write_bytes(pem.text(der))
    assert cloud.project("trust.verify=[config/keys/kms.pub]").deploy().endpoint


def test_a_key_in_a_variable_signs(cloud: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNING_KEY_PEM", OURS.private_pem.decode())
    cloud.project("trust.sign=env:SIGNING_KEY_PEM", VERIFY).upload()
    assert cloud.project(VERIFY).verify_remote().signature


def test_sagemaker_is_told_the_signed_etag_and_keeps_the_names(cloud: Signed) -> None:
    unpinned = cloud.project(cloud.sign).deploy().endpoint
    sagemaker = session_of(cloud.servers).client("sagemaker")
    assert unpinned
    # Of a model that is there nothing changes, so that whoever begins to verify deploys nothing anew.
    assert cloud.project(cloud.sign, VERIFY).plan("deploy").actions[-1].status == "skip"
    pinned = cloud.project("environment.SAUCE=mustard", VERIFY).deploy().endpoint
    assert pinned
    source: Any = sagemaker.describe_model(ModelName=pinned.model)["PrimaryContainer"]["ModelDataSource"]
    head = cloud.s3.head_object(Bucket=cloud.bucket, Key=cloud.key("model.tar.gz"))
    assert source["S3DataSource"]["ETag"] == head["ETag"].strip('"')
    assert cloud.project("environment.SAUCE=mustard").plan("deploy").actions[-1].status == "skip"


@pytest.mark.slow
def test_a_model_that_names_the_etag_of_an_earlier_upload_is_made_again(cloud: Signed) -> None:
    built = cloud.project(cloud.sign, VERIFY).deploy()
    sagemaker = session_of(cloud.servers).client("sagemaker")
    assert built.endpoint
    before: Any = sagemaker.describe_model(ModelName=built.endpoint.model)
    # The package was deleted, and published again in other parts.
    cloud.put("model.tar.gz", cloud.get("model.tar.gz"))
    agree(cloud)
    cloud.unsign()
    cloud.other_machine()
    cloud.project(cloud.sign, VERIFY).sign()
    plan = cloud.project(cloud.sign, VERIFY).plan("deploy")
    assert [change.kind for change in plan.actions[-1].changes] == ["restore"]
    cloud.project(cloud.sign, VERIFY).deploy()
    after: Any = sagemaker.describe_model(ModelName=built.endpoint.model)
    etags = [each["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]["ETag"] for each in (before, after)]
    assert etags[1] == cloud.s3.head_object(Bucket=cloud.bucket, Key=cloud.key("model.tar.gz"))["ETag"].strip('"')
    assert etags[0] != etags[1]


def test_an_unsigned_package_does_not_serve_where_signatures_count(cloud: Signed) -> None:
    cloud.project().upload()
    error = refused(cloud.project(VERIFY).deploy, UserError)
    assert error.exit_code == 1
    assert "not signed" in error.message
    assert "invoke sign" in str(error.fix)
    assert cloud.models == []
    assert refused(lambda: cloud.project(VERIFY).plan("deploy"), UserError).message == error.message
    cloud.project(cloud.sign, VERIFY).sign()
    assert cloud.project(VERIFY).deploy().endpoint


def test_a_new_package_is_refused_after_it_was_uploaded_unsigned(cloud: Signed) -> None:
    assert refused(cloud.project(VERIFY).deploy, UserError).exit_code == 1
    assert cloud.models == []


def replaced(cloud: Signed) -> None:
    """One bit of the weights, and a record that agrees with the object."""
    data = cloud.get("model.tar.gz")
    cloud.put("model.tar.gz", patched(data, len(data) // 2, b"\1"))
    agree(cloud)


def agree(cloud: Signed) -> None:
    """Let index and release record say what the object is now, as somebody does who may write them."""
    head = cloud.s3.head_object(Bucket=cloud.bucket, Key=cloud.key("model.tar.gz"), ChecksumMode="ENABLED")
    index = Index.parse(cloud.get("index.json"))
    assert index
    text = replace(index, etag=head["ETag"]).text()
    cloud.put("index.json", text)
    listed = cloud.s3.list_objects_v2(Bucket=cloud.bucket, Prefix="models/svd/releases/")["Contents"]
    key = listed[-1]["Key"]
    release = Release.parse(cloud.s3.get_object(Bucket=cloud.bucket, Key=key)["Body"].read())
    assert release
    checksums = {name: head[f"Checksum{name}"] for name in ("CRC64NVME", "CRC32") if f"Checksum{name}" in head}
    documents = {**release.documents, "index.json": Digest.sha256(text)}
    cloud.s3.put_object(
        Bucket=cloud.bucket,
        Key=key,
        Body=replace(release, etag=head["ETag"], checksums=checksums, documents=documents).text(),
    )


def other_manifest(cloud: Signed) -> None:
    cloud.put("manifest.json", cloud.get("manifest.json").replace(b"false", b"true", 1))


def flipped_index(cloud: Signed) -> None:
    data = cloud.get("index.json")
    cloud.put("index.json", patched(data, len(data) // 2, b"\1"))


def flipped_provenance(cloud: Signed) -> None:
    data = cloud.get("provenance.json")
    cloud.put("provenance.json", patched(data, len(data) // 2, b"\1"))


def replaced_with_equal_checksums(cloud: Signed) -> None:
    """Other weights that no checksum tells from those that were signed."""
    data, key = cloud.get("model.tar.gz"), cloud.key("model.tar.gz")
    forged = patched(data, len(data) // 2, collision())
    cloud.s3.put_object(Bucket=cloud.bucket, Key=key, Body=forged, ChecksumAlgorithm="CRC64NVME")
    agree(cloud)


def signed_before(cloud: Signed) -> None:
    """Genuine signatures of an earlier release of the same name."""
    place, code = cloud.key("release.sig").rpartition("/")[0], cloud.root / "inference_code" / "svd" / "inference.py"
    text = code.read_text()
    code.write_text(f"{text}\n# an earlier package\n")
    cloud.project(cloud.sign, VERIFY).upload()
    code.write_text(text)
    for each in ("model.sig", "release.sig", "provenance.sigstore.json"):
        [other] = [key for key in cloud.keys if key.endswith(f"/{each}") and not key.startswith(f"{place}/")]
        cloud.s3.copy_object(
            Bucket=cloud.bucket, Key=f"{place}/{each}", CopySource={"Bucket": cloud.bucket, "Key": other}
        )


def signed_by_them(cloud: Signed) -> None:
    cloud.unsign()
    cloud.project(cloud.sign_theirs).sign()


def half_signed(cloud: Signed) -> None:
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=cloud.key("release.sig"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "where"),
    [
        (replaced, "model.tar.gz"),
        (replaced_with_equal_checksums, "model.tar.gz: the ETag"),
        (other_manifest, "manifest.json"),
        (flipped_index, "index.json"),
        (flipped_provenance, "provenance.json"),
        (signed_before, "release.sig: the manifest"),
        (signed_by_them, "release.sig"),
        (half_signed, "release.sig"),
    ],
)
def test_what_is_not_as_it_was_signed_does_not_serve(
    cloud: Signed, attack: Callable[[Signed], None], where: str
) -> None:
    cloud.project(cloud.sign, VERIFY).upload()
    attack(cloud)
    cloud.other_machine()
    error = refused(cloud.project(VERIFY).deploy, IntegrityError)
    assert error.exit_code == 4
    assert where in str(error)
    assert cloud.models == []
    assert cloud.read == 0
    assert refused(cloud.project(VERIFY).verify_remote, IntegrityError).exit_code == 4


@pytest.mark.slow
def test_a_file_of_a_prefix_that_was_replaced_does_not_serve(cloud: Signed) -> None:
    sets = ("artifact.layout=prefix", VERIFY)
    cloud.project(cloud.sign, *sets).upload()
    name = "model/unet/diffusion_pytorch_model.fp16.safetensors"
    data = cloud.get(name)
    cloud.put(name, patched(data, len(data) // 2, collision()))
    cloud.other_machine()
    error = refused(cloud.project(*sets).deploy, IntegrityError)
    assert (error.exit_code, cloud.models) == (4, [])
    assert f"{name}: the ETag" in str(error)


def test_a_poisoned_package_does_not_come_to_serve_under_a_deployed_endpoint(cloud: Signed) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    replaced(cloud)
    cloud.other_machine()
    error = refused(cloud.project(VERIFY).deploy, IntegrityError)
    assert "by the signed release" in str(error)


def test_signing_what_is_published_reads_what_this_machine_does_not_know(cloud: Signed) -> None:
    cloud.project().upload()
    signed = cloud.project(cloud.sign, VERIFY).sign()
    assert (signed.changed, signed.before, signed.bytes_read) == (True, None, 0)
    again = cloud.project(cloud.sign, VERIFY).sign()
    assert (again.changed, again.before, again.bytes_read) == (False, "config/keys/ours.pub", 0)
    cloud.unsign()
    cloud.other_machine()
    signed = cloud.project(cloud.sign, VERIFY).sign()
    assert signed.changed
    assert signed.bytes_read > MiB


@pytest.mark.slow
def test_who_remembers_an_earlier_upload_signs_the_one_that_is_there_after_reading_it(cloud: Signed) -> None:
    cloud.project().upload()
    # Another machine has deleted it, and published it in other parts.
    cloud.put("model.tar.gz", cloud.get("model.tar.gz"))
    agree(cloud)
    assert cloud.project(cloud.sign, VERIFY).sign().bytes_read == len(cloud.get("model.tar.gz"))
    assert cloud.project(VERIFY).verify_remote().signature


def test_a_key_is_rotated_on_the_word_of_the_old_one(cloud: Signed) -> None:
    cloud.project(cloud.sign, VERIFY).upload()
    cloud.other_machine()
    both = "trust.verify=[config/keys/theirs.pub, config/keys/ours.pub]"
    signed = cloud.project(cloud.sign_theirs, both).sign()
    assert (signed.changed, signed.before, signed.bytes_read) == (True, "config/keys/ours.pub", 0)
    assert cloud.read == 0
    assert cloud.project("trust.verify=[config/keys/theirs.pub]").verify_remote().signature
    assert refused(cloud.project(VERIFY).verify_remote, IntegrityError)


class Acme:
    """An authority of its own, in the project's files: `root.pem`, and `chain.pem` of a signer whose key lies outside."""

    def __init__(self, cloud: Signed, key: Callable[[], chains.Key | None] = lambda: None) -> None:
        self.cloud, self.root, self.key = cloud, chains.root("Acme", key()), key
        self.between = self.root.issue("Acme signing", authority=True, key=key())
        self.write("root.pem", self.root.pem)
        self.verify, self.certificates = (
            "trust.verify=[config/keys/root.pem]",
            "trust.certificates=config/keys/chain.pem",
        )
        self.signer = self.employ()

    def write(self, name: str, data: bytes) -> None:
        (self.cloud.root / "config" / "keys" / name).write_bytes(data)

    def employ(self, days: int = 36_500) -> Certified:
        """Another signer takes the place of the one before."""
        self.signer = self.between.issue("signer", days=days, key=self.key())
        (self.cloud.root.parent / "signer.key").write_bytes(self.signer.private_pem)
        self.write("chain.pem", self.signer.pem + self.between.pem)
        return self.signer

    @property
    def signs(self) -> tuple[str, str]:
        return f"trust.sign=file:{self.cloud.root.parent}/signer.key", self.certificates


def test_what_is_signed_with_certificates_serves_where_their_root_counts_and_nowhere_else(cloud: Signed) -> None:
    acme = Acme(cloud)
    assert cloud.project(*acme.signs, acme.verify).deploy().endpoint
    signature = cloud.project(acme.verify).verify_remote().signature
    assert signature
    assert (signature.key, signature.hint) == ("config/keys/root.pem", Digest.sha256(acme.signer.der).value)
    for name in ("model.sig", "release.sig", "provenance.sigstore.json"):
        assert list(json.loads(cloud.get(name))["verificationMaterial"]) == ["x509CertificateChain", "tlogEntries"]
    plan = cloud.project(*acme.signs, acme.verify).plan("deploy")
    assert [action.status for action in plan.actions][-2:] == ["skip", "skip"]
    assert not cloud.project(*acme.signs, acme.verify).sign().changed
    acme.write("foreign.pem", chains.root("Acme").pem)
    models = cloud.models
    for verify in ("trust.verify=[config/keys/foreign.pem]", VERIFY):
        error = refused(cloud.project(verify).deploy, IntegrityError)
        assert error.exit_code == 4
        assert any("release.sig" in str(each) for each in (error.where, *error.details))
    assert cloud.models == models


@pytest.mark.slow
def test_a_chain_of_p384_is_verified_by_export_and_rollback(cloud: Signed) -> None:
    acme = Acme(cloud, chains.p384)
    cloud.project(*acme.signs, acme.verify).deploy()
    cloud.project(*acme.signs, acme.verify, "environment.SAUCE=mustard").deploy()
    exported = cloud.project(acme.verify)
    exported.export("cloudformation", str(cloud.root / "exported"))
    assert "what config/keys/root.pem signed" in exported.progress.text  # type: ignore[attr-defined]
    acme.write("foreign.pem", chains.root("Acme", chains.p384()).pem)
    foreign = cloud.project("trust.verify=[config/keys/foreign.pem]")
    for command in (foreign.rollback, lambda: foreign.export("cloudformation", str(cloud.root / "other"))):
        assert "do not lead to config/keys/foreign.pem" in str(refused(command, IntegrityError))
    assert cloud.project(acme.verify).rollback()


@pytest.mark.slow
def test_a_key_of_kms_signs_with_certificates_where_nobody_verifies(cloud: Signed) -> None:
    acme, key = Acme(cloud), cloud.kms()
    der = session_of(cloud.servers).client("kms").get_public_key(KeyId=key)["PublicKey"]
    error = refused(cloud.project(f"trust.sign=kms:{key}", acme.certificates).upload, UserError)
    assert "trust.certificates: the first certificate of config/keys/chain.pem is of another key" in error.message
    assert pem.text(der).decode() in str(error.fix)
    acme.write("chain.pem", acme.between.certify("kms", der) + acme.between.pem)
    project = cloud.project(f"trust.sign=kms:{key}", acme.certificates)
    project.upload()
    assert not project.sign().changed
    assert cloud.project(acme.verify).deploy().endpoint


def test_a_new_certificate_is_signed_with_on_the_word_of_the_root(cloud: Signed) -> None:
    acme = Acme(cloud)
    cloud.project(*acme.signs, acme.verify).upload()
    cloud.other_machine()
    acme.employ()
    signed = cloud.project(*acme.signs, acme.verify).sign()
    assert (signed.changed, signed.before, signed.bytes_read) == (True, "config/keys/root.pem", 0)
    assert cloud.read == 0


def test_certificates_that_would_not_count_or_have_ended_sign_nothing(cloud: Signed) -> None:
    acme = Acme(cloud)
    acme.write("foreign.pem", chains.root("Acme").pem)
    error = refused(cloud.project(*acme.signs, "trust.verify=[config/keys/foreign.pem]").upload, UserError)
    assert "would not count: its certificates do not lead to config/keys/foreign.pem" in error.message
    cloud.project(*acme.signs, acme.verify).upload()
    acme.employ(days=1)
    error = refused(cloud.project(*acme.signs, acme.verify).sign, UserError)
    assert (error.where, "valid from 2025-01-01 00:00 to 2025-01-02 00:00 UTC" in error.message) == (
        "trust.certificates",
        True,
    )
    assert "--set trust.sign=null" in str(error.fix)
    assert cloud.project(*acme.signs, acme.verify, "trust.sign=null").deploy().endpoint


@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_nobody_signs_what_is_not_the_package(cloud: Signed, layout: str) -> None:
    sets = (f"artifact.layout={layout}",)
    cloud.project(*sets).upload()
    name = "model.tar.gz" if layout == "archive" else "model/unet/diffusion_pytorch_model.fp16.safetensors"
    data = cloud.get(name)
    cloud.put(name, patched(data, len(data) // 2, b"\1"))
    if layout == "archive":
        agree(cloud)
    cloud.other_machine()
    error = refused(cloud.project(*sets, cloud.sign, VERIFY).sign, IntegrityError)
    assert error.exit_code == 4
    assert not any(key.endswith(".sig") for key in cloud.keys)


def test_nobody_signs_a_forged_provenance(cloud: Signed) -> None:
    cloud.project().upload()
    document = json.loads(cloud.get("provenance.json"))
    document["predicate"]["buildDefinition"]["externalParameters"]["name"] = "other"
    text = json.dumps(document, indent=1, ensure_ascii=False, sort_keys=True).encode() + b"\n"
    cloud.put("provenance.json", text)
    [listed] = cloud.s3.list_objects_v2(Bucket=cloud.bucket, Prefix="models/svd/releases/")["Contents"]
    release = Release.parse(cloud.s3.get_object(Bucket=cloud.bucket, Key=listed["Key"])["Body"].read())
    assert release
    documents = {**release.documents, "provenance.json": Digest.sha256(text)}
    cloud.s3.put_object(Bucket=cloud.bucket, Key=listed["Key"], Body=replace(release, documents=documents).text())
    error = refused(cloud.project(cloud.sign).sign, IntegrityError)
    assert "another build" in str(error)


def test_what_is_not_published_cannot_be_signed(cloud: Signed) -> None:
    cloud.project().lock()
    assert "not published" in refused(cloud.project(cloud.sign).sign, UserError).message
    assert "no key is named" in refused(cloud.project().sign, UserError).message


def test_a_key_that_would_not_count_is_refused_before_anything_is_sent(cloud: Signed) -> None:
    error = refused(cloud.project(cloud.sign_theirs, VERIFY).upload, UserError)
    assert "none of trust.verify" in error.message
    assert "BEGIN PUBLIC KEY" in str(error.fix)
    assert cloud.moved == []


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (lambda _: "trust.sign=env:NOT_SET", "NOT_SET is not set"),
        (lambda _: "trust.sign=file:/nowhere/key.pem", "cannot read the key"),
        (lambda _: "trust.sign=kms:alias/nothing", "no such key"),
        (lambda cloud: f"trust.sign=kms:{cloud.kms('SYMMETRIC_DEFAULT', 'ENCRYPT_DECRYPT')}", "cannot sign"),
        (lambda cloud: f"trust.sign=kms:{cloud.kms('ECC_NIST_P521')}", "ECC_NIST_P521"),
        (lambda cloud: f"trust.sign=kms:{cloud.kms('RSA_2048')}", "RSA_2048"),
    ],
)
def test_a_key_that_cannot_sign_is_told_before_anything_is_sent(
    cloud: Signed, prepare: Callable[[Signed], str], message: str
) -> None:
    error = refused(cloud.project(prepare(cloud)).upload, UserError)
    assert error.exit_code == 1
    assert message in f"{error.where} {error.message}"
    assert not any("/models/" in path for path in cloud.moved)


def test_a_key_of_kms_may_be_named_by_its_alias(cloud: Signed) -> None:
    session_of(cloud.servers).client("kms").create_alias(AliasName="alias/signs", TargetKeyId=cloud.kms())
    assert cloud.project("trust.sign=kms:alias/signs").upload().artifact


def test_doctor_says_whether_the_key_can_sign(cloud: Signed) -> None:
    checks = {check.id: check for check in cloud.project(cloud.sign).doctor().checks}
    assert checks["signing-key"].verdict == "ok"
    checks = {check.id: check for check in cloud.project("trust.sign=env:NOT_SET").doctor().checks}
    assert checks["signing-key"].verdict == "failed"


def test_a_disabled_key_is_told(cloud: Signed) -> None:
    key = cloud.kms()
    session_of(cloud.servers).client("kms").disable_key(KeyId=key.rpartition("/")[2])
    assert "is disabled" in refused(cloud.project(f"trust.sign=kms:{key}").upload, UserError).message


@pytest.mark.parametrize("action", ["kms:Sign", "kms:GetPublicKey"])
def test_who_may_not_use_the_key_is_told_the_permission(cloud: Signed, action: str) -> None:
    key = cloud.kms()
    project = cloud.project(f"trust.sign=kms:{key}")
    cloud.servers.aws.denied.set([action])
    error = refused(project.upload, AccessDeniedError)
    assert action in str(error)
    assert "policy --for sign" in str(error.fix)


def test_signing_many_files_takes_less_than_a_second() -> None:
    members = [Member(f"part/{n}.bin", n << 30, Digest.sha256(b"%d" % n)) for n in range(5000)]
    begun = time.monotonic()
    data = dsse.signed(oms.statement("large", Manifest.of(members)), OURS.signer)
    assert len(oms.signed_files(data, [OURS.public])[0]) == 5000
    assert time.monotonic() - begun < 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "exit_code", "where"),
    [
        (replaced, 4, "model.tar.gz"),
        (other_manifest, 4, "manifest.json"),
        (signed_by_them, 4, "run `invoke sign`"),
        (Signed.unsign, 1, "not signed"),
    ],
)
def test_a_rollback_verifies_the_package_that_is_to_serve_again(
    cloud: Signed, attack: Callable[[Signed], None], exit_code: int, where: str
) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    cloud.project(cloud.sign, VERIFY, "environment.SAUCE=mustard").deploy()
    project = cloud.project(VERIFY)
    project.review_rollback()
    assert "ours.pub signed on" in project.progress.text  # type: ignore[attr-defined]
    attack(cloud)
    for command in (cloud.project(VERIFY).review_rollback, cloud.project(VERIFY).rollback):
        error = refused(command, SagepackError)
        assert error.exit_code == exit_code
        assert where in str(error)
    assert cloud.read == 0
    cloud.project("trust.verify=[]").rollback()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "exit_code", "where"), [(replaced, 4, "model.tar.gz"), (Signed.unsign, 1, "not signed")]
)
def test_a_package_from_s3_runs_on_this_machine_only_as_it_was_signed(
    cloud: Signed, attack: Callable[[Signed], None], exit_code: int, where: str
) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    address, folder = f"s3://{cloud.bucket}/{cloud.key('model.tar.gz')}", cloud.root / "served"

    def files(name: str, *sets: str) -> set[str]:
        return set(served_package.of_name(cloud.project(*sets)._open("deploy"), name, folder).files)

    assert files("1", VERIFY) == files(address, VERIFY) >= {"code/inference.py", "model_index.json"}
    shutil.rmtree(folder)
    attack(cloud)
    for name in ("1", address):
        error = refused(lambda name=name: files(name, VERIFY), SagepackError)  # type: ignore[misc]
        assert (error.exit_code, where in str(error)) == (exit_code, True)
    assert not folder.exists()
    if attack is Signed.unsign:
        assert files(address)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layout", "name"),
    [("prefix", "model/code/inference.py"), ("prefix", "files.json"), ("archive", "model.tar.gz")],
)
def test_what_is_replaced_as_soon_as_it_was_verified_does_not_run_on_this_machine(
    cloud: Signed, monkeypatch: pytest.MonkeyPatch, layout: str, name: str
) -> None:
    sets = (f"artifact.layout={layout}", VERIFY)
    cloud.project(cloud.sign, *sets).upload()
    verified = gate.require_signed

    def verify_and_lose(*arguments: Any) -> Any:
        found = verified(*arguments)
        cloud.put(name, b"print('somebody else')")
        return found

    monkeypatch.setattr(gate, "require_signed", verify_and_lose)
    address = cloud.key("manifest.json").replace("manifest.json", "model/" if layout == "prefix" else "model.tar.gz")
    project, folder = cloud.project(*sets)._open("deploy"), cloud.root / "served"
    error = refused(lambda: served_package.of_name(project, f"s3://{cloud.bucket}/{address}", folder), ChangedError)
    assert "replaced after it was verified" in error.message
    assert not folder.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "exit_code", "where"), [(replaced, 4, "model.tar.gz"), (Signed.unsign, 1, "is not signed")]
)
def test_an_endpoint_is_woken_only_for_what_was_signed(
    cloud: Signed, attack: Callable[[Signed], None], exit_code: int, where: str
) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    cloud.project().sleep()
    genuine = {name: cloud.get(name) for name in ("model.sig", "release.sig", "provenance.sigstore.json")}
    attack(cloud)
    cloud.other_machine()
    error = refused(cloud.project(VERIFY).wake, SagepackError)
    assert (error.exit_code, where in str(error)) == (exit_code, True)
    endpoint: Any = session_of(cloud.servers).client("sagemaker").describe_endpoint(EndpointName="svd")
    assert endpoint["ProductionVariants"][0]["CurrentInstanceCount"] == 0
    assert cloud.read == 0
    if attack is Signed.unsign:
        place = cloud.key("manifest.json").rpartition("/")[0]
        for name, data in genuine.items():
            cloud.s3.put_object(Bucket=cloud.bucket, Key=f"{place}/{name}", Body=data)
        assert cloud.project(VERIFY).wake().instances == 1
    else:
        assert cloud.project().wake().instances == 1


def uploaded_again(cloud: Signed) -> None:
    """The package was deleted, and published and signed again in other parts."""
    cloud.put("model.tar.gz", cloud.get("model.tar.gz"))
    agree(cloud)
    cloud.unsign()
    cloud.other_machine()
    cloud.project(cloud.sign, VERIFY).sign()


def check_of(cloud: Signed, *sets: str) -> tuple[str, str]:
    """Verdict and detail of what `doctor` says about the package that serves."""
    [found] = [each for each in cloud.project(*sets).doctor().checks if each.id == "signature"]
    return found.verdict, found.detail


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "verdict", "reason"),
    [
        (replaced, "failed", "by the signed release"),
        (half_signed, "failed", "release.sig: it is missing"),
        (signed_by_them, "failed", "none of those that count"),
        (Signed.unsign, "warning", "the package of the endpoint is not signed"),
        (uploaded_again, "warning", "names an earlier upload of its package"),
    ],
)
def test_status_and_doctor_say_what_is_wrong_with_the_signature_of_what_serves(
    cloud: Signed, attack: Callable[[Signed], None], verdict: str, reason: str
) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    attack(cloud)
    found = cloud.project(VERIFY).status()
    assert found.state == "InService"
    assert found.signature
    assert found.signature.verified is None
    assert reason in "; ".join((found.signature.problem or "", *found.signature.details))
    mends = "invoke sign" if attack in (signed_by_them, half_signed, Signed.unsign) else "invoke "
    assert mends in (found.signature.fix or "")
    assert check_of(cloud, VERIFY)[0] == verdict
    assert reason in check_of(cloud, VERIFY)[1]
    assert cloud.read == 0


@pytest.mark.slow
def test_status_and_doctor_say_who_signed_what_serves(cloud: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    found = cloud.project(VERIFY).status().signature
    assert found
    assert found.verified
    assert (found.verified.key, found.verified.hint) == ("config/keys/ours.pub", OURS.public.hint)
    assert check_of(cloud, VERIFY)[1].startswith("what serves is what config/keys/ours.pub signed on ")
    assert cloud.project().status().signature is None  # nobody asks
    cloud.servers.aws.denied.set(["s3:GetObject"])
    denied = cloud.project(VERIFY).status()
    assert (denied.state, denied.signature) == ("InService", None)
    assert any(text.startswith("whether the package is as it was signed: ") for text in denied.unknown)
    assert check_of(cloud, VERIFY)[0] == "unknown"
    cloud.servers.aws.denied.set([])
    for error in (UserError("its model was deleted"), RemoteError("S3 failed")):
        monkeypatch.setattr(signed, "serving", failing(error))
        assert any(error.message in text for text in cloud.project(VERIFY).status().unknown)
        assert check_of(cloud, VERIFY)[0] == "unknown"


def failing(error: SagepackError) -> Callable[..., object]:
    def fail(*_: object) -> object:
        raise error

    return fail


def test_doctor_fails_where_what_verifies_is_not_installed(cloud: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    (cloud.root / "config" / "keys" / "ca.pem").write_bytes(chains.root("Acme").pem)
    assert check_of(cloud, "trust.verify=[config/keys/ca.pem]") == ("ok", "nothing serves yet")
    monkeypatch.setitem(sys.modules, "cryptography", None)
    verdict, detail = check_of(cloud, "trust.verify=[config/keys/ca.pem]")
    assert (verdict, detail) == ("failed", "config/keys/ca.pem: verifying a certificate needs the package cryptography")


def test_a_watched_status_verifies_once_a_minute_and_when_something_else_serves(
    cloud: Signed, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, now = list[str](), [0.0]

    def serving(_: object, config: str) -> SagepackError:
        asked.append(config)
        return UserError("it is not signed")

    signatures, context = live.Signatures(), cloud.project(VERIFY)._open("deploy")
    monkeypatch.setattr(signed, "serving", serving)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    for config, seconds in (("a", 0), ("a", 5), ("a", 54), ("a", 2), ("b", 1), ("b", 59), ("", 0), ("a", 0)):
        now[0] += seconds
        assert signatures.of(context, config)[1] == ()
    assert asked == ["a", "a", "b", "a"]


@pytest.mark.slow
def test_a_release_whose_model_names_an_earlier_upload_of_its_package_does_not_serve_again(cloud: Signed) -> None:
    cloud.project(cloud.sign, VERIFY).deploy()
    uploaded_again(cloud)
    cloud.project(VERIFY, "environment.SAUCE=mustard").deploy()
    error = refused(cloud.project(VERIFY).rollback, UserError)
    assert "names an earlier upload of its package" in error.message
    assert "makes the model again" in str(error.fix)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attack", "reason"), [(replaced, "by the signed release"), (Signed.unsign, "is not signed"), (None, "")]
)
def test_the_release_before_is_put_back_only_as_it_was_signed(
    cloud: Signed, attack: Callable[[Signed], None] | None, reason: str
) -> None:
    old = cloud.project(cloud.sign, VERIFY).deploy().endpoint
    if attack:
        attack(cloud)
        cloud.other_machine()
    code = cloud.root / "inference_code" / "svd" / "inference.py"
    code.write_text(f"{code.read_text()}\n# another package\n")
    failure = {"code": 500, "type": "InternalServerException", "message": "no such layer"}
    cloud.servers.aws.invocations.script(ScriptedResult(json.dumps(failure).encode(), 500, times=1))
    error = refused(cloud.project(cloud.sign, VERIFY).deploy, RemoteError)
    assert old
    serves = session_of(cloud.servers).client("sagemaker").describe_endpoint(EndpointName="svd")["EndpointConfigName"]
    assert (serves == old.config) is (attack is None)
    assert ("putting the release before back failed" in str(error)) is (attack is not None)
    assert reason in str(error)
