"""The reference implementation of OpenSSF Model Signing judges our signatures, and we judge its own."""

from __future__ import annotations

import subprocess
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3Uri
from sagepack.digest import Digest
from sagepack.engine.trust import KmsSigner
from sagepack.package.attest import dsse, oms
from sagepack.package.attest.certificates import Authority
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keys import CertifiedSigner, PublicKey
from sagepack.spec import pem
from tests.helpers import chains
from tests.helpers.deployments import session_of
from tests.helpers.environments import environment
from tests.helpers.publishing import Bucket, KiB, Tree, connect, svd_like
from tests.helpers.signing import P256, P384, KeyPair

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.package.attest.keys import KeySigner
    from sagepack.sandbox.servers import Servers

pytestmark = pytest.mark.slow

# It imports OpenSSL, which no dependency of it brings.
MODEL_SIGNING = ["model-signing==1.1.1", "pyopenssl"]
KINDS = pytest.mark.parametrize("kind", ["P-256", "P-384", "KMS P-256", "KMS P-384"])
OTHER = KeyPair.of("other")


@pytest.fixture(scope="module")
def model_signing() -> Path:
    """The reference implementation, as a program."""
    return environment("model-signing", MODEL_SIGNING) / "model_signing"


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    # Names whose order differs by folder and by text, and one that is not ASCII.
    more = {"a/x.bin": b"1", "a-b.bin": b"2", "a/b/c.txt": b"3", "unet/gr\u00f6\u00dfe.json": b"{}", "empty.txt": b""}
    return Tree(tmp_path / "one", {**svd_like(unet=200 * KiB), **more})


def signer_of(kind: str, sandbox: Servers) -> KeySigner:
    if not kind.startswith("KMS"):
        return KeyPair.of("ours", P256 if kind == "P-256" else P384).signer
    aws = session_of(sandbox)
    spec: Any = f"ECC_NIST_{kind.removeprefix('KMS ').replace('-', '')}"
    key = aws.client("kms").create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    return KmsSigner(aws, key)


def accepts(program: Path, signature: Path, key: Path, folder: Path) -> bool:
    command = [program, "verify", "key", "--signature", signature, "--public_key", key, folder]
    ran = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    return ran.returncode == 0


def sha256(folder: Path) -> dict[str, str]:
    """What an independent reader finds in a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): Digest.sha256(path.read_bytes()).value for path in files}


@KINDS
@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_it_accepts_our_signature_of_what_is_downloaded_and_nothing_else(
    tree: Tree, tmp_path: Path, sandbox: Servers, model_signing: Path, kind: str, layout: str
) -> None:
    signer = signer_of(kind, sandbox)
    store = connect(sandbox.aws_url, sandbox)
    bucket = Bucket(store, S3Uri(sandbox.bucket, "models"), tmp_path / "journals", keys=(signer.public,), signer=signer)
    bucket.publish(tree, bucket.plan(tree, layout=layout))
    package, folder = bucket.package(tree, layout=layout), tmp_path / "model"
    if layout == "archive":
        (tmp_path / "model.tar.gz").write_bytes(bucket.archive(tree))
        with tarfile.open(tmp_path / "model.tar.gz") as archive:
            archive.extractall(folder, filter="data")
    else:
        for listed in store.list(package.model_uri):
            path = folder / listed.location.key.removeprefix(package.model_uri.key)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bucket.get(listed.location))
    signature, key, other = tmp_path / "model.sig", tmp_path / "key.pub", tmp_path / "other.pub"
    signature.write_bytes(bucket.get(package.files_signature_uri))
    key.write_bytes(pem.text(signer.public.der))
    other.write_bytes(OTHER.public_pem)
    assert accepts(model_signing, signature, key, folder)
    assert not accepts(model_signing, signature, other, folder)
    changed = folder / "unet" / "gr\u00f6\u00dfe.json"
    changed.write_bytes(b"[]")
    assert not accepts(model_signing, signature, key, folder)
    changed.write_bytes(b"{}")
    assert accepts(model_signing, signature, key, folder)
    (folder / "extra.txt").write_bytes(b"more")
    assert not accepts(model_signing, signature, key, folder)
    (folder / "extra.txt").unlink()
    changed.unlink()
    assert not accepts(model_signing, signature, key, folder)


@pytest.mark.parametrize("kind", [P256, P384])
def test_we_accept_its_signature_of_a_folder_and_nothing_else(
    tree: Tree, tmp_path: Path, model_signing: Path, kind: Any
) -> None:
    pair = KeyPair.of("theirs", kind)
    private, _ = pair.write(tmp_path / "keys")
    signature = tmp_path / "model.sig"
    command = [model_signing, "sign", "key", "--private_key", private, "--signature", signature, tree.folder]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    files, key = oms.signed_files(signature.read_bytes(), [OTHER.public, pair.public])
    assert key == pair.public
    assert oms.differences(files, sha256(tree.folder)) == []
    (tree.folder / "unet" / "config.json").write_bytes(b"[]")
    (tree.folder / "extra.txt").write_bytes(b"more")
    assert [line.split()[0] for line in oms.differences(files, sha256(tree.folder))] == [
        "extra.txt",
        "unet/config.json",
    ]
    with pytest.raises(SignatureError, match="none of those that count"):
        oms.signed_files(signature.read_bytes(), [OTHER.public])


def test_both_make_the_same_statement(tree: Tree, tmp_path: Path, model_signing: Path) -> None:
    pair = KeyPair.of("theirs")
    private, _ = pair.write(tmp_path / "keys")
    signature = tmp_path / "model.sig"
    command = [model_signing, "sign", "key", "--private_key", private, "--signature", signature, tree.folder]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    theirs, _ = dsse.opened(signature.read_bytes(), [pair.public], dict)
    ours = oms.statement(tree.folder.name, tree.manifest)
    theirs["predicate"]["serialization"].pop("ignore_paths")
    assert theirs == ours


def test_we_accept_its_signature_with_a_certificate_and_no_other_root(
    tree: Tree, tmp_path: Path, model_signing: Path
) -> None:
    root = chains.root("Acme")
    between = root.issue("Acme signing", authority=True)
    signer = between.issue("signer")
    files = {
        "signer.key": signer.private_pem,
        "signer.pem": signer.pem,
        "between.pem": between.pem,
        "root.pem": root.pem,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    signature = tmp_path / "model.sig"
    command = [model_signing, "sign", "certificate", "--signature", signature, "--private_key", tmp_path / "signer.key"]
    command += ["--signing_certificate", tmp_path / "signer.pem", "--certificate_chain", tmp_path / "between.pem"]
    subprocess.run([str(word) for word in (*command, tree.folder)], check=True, capture_output=True)
    found, _ = oms.signed_files(signature.read_bytes(), [Authority("root.pem", root.der)])
    assert oms.differences(found, sha256(tree.folder)) == []
    with pytest.raises(SignatureError, match="do not lead to"):
        oms.signed_files(signature.read_bytes(), [Authority("root.pem", chains.root("Acme").der)])
    verify = [model_signing, "verify", "certificate", "--signature", signature]
    verify += ["--certificate_chain", tmp_path / "root.pem", tree.folder]
    assert subprocess.run([str(word) for word in verify], capture_output=True, check=False).returncode == 0


def test_it_accepts_our_signature_with_certificates_and_no_other_root(
    tree: Tree, tmp_path: Path, model_signing: Path
) -> None:
    root = chains.root("Acme")
    between = root.issue("Acme signing", authority=True)
    leaf = between.issue("signer")
    signer = CertifiedSigner(replace(leaf.signer.public, chain=(leaf.der, between.der)), leaf.signer)
    signature = tmp_path / "model.sig"
    signature.write_bytes(dsse.signed(oms.statement("model", tree.manifest), signer))
    for name, own, accepted in (("root.pem", root, True), ("foreign.pem", chains.root("Acme"), False)):
        (tmp_path / name).write_bytes(own.pem)
        verify = [model_signing, "verify", "certificate", "--signature", signature]
        verify += ["--certificate_chain", tmp_path / name, tree.folder]
        ran = subprocess.run([str(word) for word in verify], capture_output=True, check=False)
        assert (ran.returncode == 0) is accepted


@KINDS
def test_openssl_accepts_our_signature(tmp_path: Path, sandbox: Servers, kind: str) -> None:
    """As docs/how-to/sign.md says how to do it by hand."""
    signer = signer_of(kind, sandbox)
    payload = b'{"_type": "x"}'
    for name, data in (("key.pub", pem.text(signer.public.der)), ("signed", dsse.pae(payload))):
        (tmp_path / name).write_bytes(data)
    (tmp_path / "signature").write_bytes(signer.sign(dsse.pae(payload)))
    digest = "-sha384" if kind.endswith("384") else "-sha256"
    command = ["openssl", "dgst", digest, "-verify", "key.pub", "-signature", "signature", "signed"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    assert PublicKey.read("key.pub", (tmp_path / "key.pub").read_bytes()) == PublicKey("key.pub", signer.public.der)
