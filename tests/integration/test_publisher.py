"""A publisher's own signature is compared with the lock's digests, before a weight is fetched."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from msgspec import structs

from sagepack.digest import Digest
from sagepack.engine import publisher_signature
from sagepack.errors import IntegrityError, SagepackError, UserError
from sagepack.package.attest import dsse, oms
from sagepack.package.lock import Lock
from sagepack.package.manifest import Manifest, Member
from sagepack.spec import sigstore
from tests.helpers import chains
from tests.helpers import model_samples as samples
from tests.helpers.cloud import Cloud
from tests.helpers.signing import P384, KeyPair

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.sandbox.servers import Servers
    from tests.helpers.chains import Certified

NAME, PUBLISHER = "acme/model", "trust.publisher=[config/keys/acme.pub]"
WEIGHTS = samples.safetensors({"a": samples.tensor(0, 1 << 20)}, bytes(1 << 20))
FILES = {"config.json": b'{"model_type": "bert"}', "model.safetensors": WEIGHTS, "README.md": b"hello\n"}
ACME, OTHER = KeyPair.of("theirs", P384), KeyPair.of("other")


class Published(Cloud):
    """A project whose model is what an own Hub serves."""

    def __init__(self, root: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, servers, monkeypatch)
        ACME.write(root / "config" / "keys", "acme")[0].unlink()

    def serve(self, files: Mapping[str, bytes], **model: Any) -> None:
        """Let the Hub serve these files and no others, and the spec name them."""
        folder = self.root / "served" / Digest.sha256(repr(sorted(files.items())).encode()).short
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        commit = self.servers.hub.repositories.add(NAME, folder)
        source = model or {"id": NAME, "revision": commit, "include": ["config.json", "*.safetensors"]}
        spec = self.root / "config" / "svd.yaml"
        document = yaml.safe_load(spec.read_text())
        spec.write_text(yaml.safe_dump({**document, "model": source}))

    @property
    def model(self) -> dict[str, Any]:
        path = self.root / "config" / "locks" / "svd-cloud.lock.yaml"
        found: dict[str, Any] = yaml.safe_load(path.read_text())["model"]
        return found

    def weights_read(self) -> int:
        return sum(each.sent for each in self.servers.faults.log if each.path.endswith(".safetensors"))


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published(tmp_path, sandbox, monkeypatch)


def signed(files: Mapping[str, bytes], key: KeyPair | Certified = ACME) -> bytes:
    members = [Member(path, len(data), Digest.sha256(data)) for path, data in files.items()]
    return dsse.signed(oms.statement("model", Manifest.of(members)), key.signer)


def refused(project: Project, error: type[UserError | IntegrityError]) -> str:
    with pytest.raises(error) as caught:
        project.lock()
    return str(caught.value)


def test_what_the_publisher_signed_is_locked_with_the_key(cloud: Published) -> None:
    cloud.serve({**FILES, "model.sig": signed(FILES)})
    cloud.project(PUBLISHER).lock()
    assert cloud.model["signed_by"] == ACME.public.hint
    assert cloud.project(PUBLISHER).plan("package", locked=True).actions[0].status == "skip"


def test_the_signature_is_asked_for_where_it_counts_and_nowhere_else(cloud: Published) -> None:
    cloud.serve({**FILES, "model.sig": b"no signature"})
    cloud.project().lock()
    assert "signed_by" not in cloud.model
    assert not [each for each in cloud.servers.faults.log if each.path.endswith("model.sig")]
    (action, *_) = cloud.project(PUBLISHER).plan("package").actions
    assert "does not say that a key of trust.publisher has signed" in action.reasons[0]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({**FILES, "model.sig": signed(FILES, OTHER)}, "none of those that count: config/keys/acme.pub"),
        ({**FILES, "model.sig": signed({**FILES, "model.safetensors": b"x"})}, "model.safetensors has sha256:"),
        ({**FILES, "model.sig": signed({"config.json": FILES["config.json"]})}, "model.safetensors is not signed"),
        ({**FILES, "model.sig": b"no signature"}, "no signature that this program can verify"),
    ],
)
def test_what_the_publisher_did_not_sign_is_not_locked_and_no_weight_is_fetched(
    cloud: Published, files: dict[str, bytes], message: str
) -> None:
    cloud.serve(files)
    assert message in refused(cloud.project(PUBLISHER), IntegrityError)
    assert not (cloud.root / "config" / "locks" / "svd-cloud.lock.yaml").exists()
    assert cloud.weights_read() == 0


def test_a_model_without_a_signature_is_not_locked(cloud: Published) -> None:
    cloud.serve(FILES)
    assert "has no model.sig" in refused(cloud.project(PUBLISHER), UserError)
    assert cloud.weights_read() == 0


def test_the_signature_may_be_over_files_that_are_left_out(cloud: Published) -> None:
    cloud.serve({**FILES, "model.sig": signed({**FILES, "unused.bin": b"1"})})
    cloud.project(PUBLISHER).lock()
    assert cloud.model["signed_by"] == ACME.public.hint


def test_a_certificate_of_the_publisher_counts_as_a_key_does(cloud: Published) -> None:
    root = chains.root("Acme")
    (cloud.root / "config" / "keys" / "acme.pub").write_bytes(root.pem)
    signer = root.issue("signer")
    signature = json.loads(signed(FILES, signer))
    chain = [{"rawBytes": base64.b64encode(signer.der).decode()}]
    signature["verificationMaterial"] = {"x509CertificateChain": {"certificates": chain}, "tlogEntries": []}
    cloud.serve({**FILES, "model.sig": json.dumps(signature).encode()})
    cloud.project(PUBLISHER).lock()
    assert cloud.model["signed_by"] == hashlib.sha256(root.der).hexdigest()
    assert cloud.project(PUBLISHER).plan("package", locked=True).actions[0].status == "skip"


def changed(cloud: Published) -> None:
    """Let the lock name other weights, as somebody writes it who may change it and knows its form."""
    path = cloud.root / "config" / "locks" / "svd-cloud.lock.yaml"
    lock = Lock.parse(path.read_bytes(), path.name)
    files = [
        structs.replace(file, digest=Digest.sha256(b"other"), etag=Digest.sha256(b"other").value)
        if file.path == "model.safetensors"
        else file
        for file in lock.files
    ]
    path.write_text(structs.replace(lock, files=tuple(files)).text())


@pytest.mark.parametrize("command", ["plan", "package"])
def test_a_lock_that_was_changed_is_compared_with_the_signature_again(cloud: Published, command: str) -> None:
    cloud.serve({**FILES, "model.sig": signed(FILES)})
    cloud.project(PUBLISHER).lock()
    changed(cloud)
    with pytest.raises(IntegrityError, match=r"1 file of the model is not what config/keys/acme\.pub signed") as caught:
        getattr(cloud.project(PUBLISHER), command)()
    assert "the lock is config/locks/svd-cloud.lock.yaml" in caught.value.details[0]
    assert "model.safetensors has sha256:" in caught.value.details[1]
    assert "lock --update" in str(caught.value.fix)
    assert cloud.weights_read() == 0
    cloud.project(PUBLISHER).lock(update=True)
    cloud.project(PUBLISHER).package()


def test_a_lock_from_elsewhere_is_compared_with_the_signature_once(cloud: Published) -> None:
    cloud.serve({**FILES, "model.sig": signed(FILES)})
    cloud.project(PUBLISHER).lock()

    def asked() -> int:
        cloud.servers.faults.clear()
        cloud.project(PUBLISHER).plan("package", locked=True)
        return sum(each.path.endswith("model.sig") for each in cloud.servers.faults.log if each.method == "GET")

    assert asked() == 0  # by who made the lock
    shutil.rmtree(cloud.root / "build")
    assert [asked(), asked()] == [1, 0]
    (cloud.root / "config" / "keys" / "acme.pub").write_bytes(OTHER.public_pem)
    with pytest.raises(SagepackError, match="lock needs to be updated"):
        asked()


def test_a_lock_is_compared_again_when_an_instance_of_sigstore_has_another_configuration(cloud: Published) -> None:
    name = cloud.root / "config" / "sigstore.json"
    identity = "trust.publisher=['sigstore:release@acme.test https://accounts.acme.test config/sigstore.json']"
    cloud.serve(FILES)
    cloud.project().lock()
    found = []
    for roots in ("one", "other", "one"):
        name.write_text(json.dumps({"mediaType": sigstore.MEDIA_TYPE, "roots": roots}))
        context = cloud.project(identity)._open("lock")
        assert context.lock
        found.append(publisher_signature._record(context, context.lock))
    assert found[0] == found[2] != found[1]


def test_a_folder_is_compared_with_the_signature_in_it(cloud: Published) -> None:
    folder = cloud.root / "weights"
    folder.mkdir()
    for path, data in {**FILES, "model.sig": signed(FILES)}.items():
        (folder / path).write_bytes(data)
    cloud.serve(FILES, path="weights")
    cloud.project(PUBLISHER).lock()
    assert cloud.model["signed_by"] == ACME.public.hint
    (folder / "config.json").write_bytes(b"{}")
    assert "config.json has sha256:" in refused(cloud.project(PUBLISHER), IntegrityError)
