"""Signing and verifying without a key, by Sigstore's own library and a small Sigstore on loopback.

The library comes from an environment of its own. What is not in it (cryptography, requests) is this one's.
"""

from __future__ import annotations

import base64
import gc
import json
import subprocess
import sys
import threading
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api.project import Project
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError
from sagepack.package.attest import keyless_signer, oms
from sagepack.package.attest.dsse import SignatureError
from sagepack.package.attest.keyless import Identity
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, session_of
from tests.helpers.environments import environment
from tests.helpers.signing import KeyPair
from tests.helpers.sigstore_services import GITHUB, ISSUER, SigstoreServices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.sandbox.servers import Servers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of the libraries that it brings
]

RELEASE = "release@acme.test"
SIGN, OWN = "trust.sign=sigstore:config/sigstore.json", "config/sigstore.json"
WORKFLOW = "acme/models/.github/workflows/publish.yml@refs/heads/main"
LIBRARY = ["sigstore==4.5.1", "msgspec"]
FILES = ("model.sig", "release.sig", "provenance.sigstore.json")
AMBIENT = ("SIGSTORE_ID_TOKEN", "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI", "GOOGLE_SERVICE_ACCOUNT_NAME")


@pytest.fixture(scope="module", autouse=True)
def library() -> Iterator[Path]:
    """The extra `sigstore`, for this process."""
    [site] = (environment("sigstore", LIBRARY).parent / "lib").glob("python3*/site-packages")
    sys.path.append(str(site))
    yield site
    sys.path.remove(str(site))
    for name in [each for each in sys.modules if each.partition(".")[0] == "sigstore"]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def services() -> Iterator[SigstoreServices]:
    with SigstoreServices() as running:
        yield running


class Keyless(Cloud):
    """A project whose firm has a Sigstore of its own."""

    def __init__(
        self, root: Path, servers: Servers, services: SigstoreServices, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        super().__init__(root, servers, monkeypatch)
        self.services, self._patch = services, monkeypatch
        services.refuse.clear()
        services.lifetime = timedelta(minutes=10)
        for name in AMBIENT:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(root.parent / "cache"))
        self.trust(OWN, services)
        self.s3 = session_of(servers).client("s3")

    def trust(self, path: str, services: SigstoreServices) -> None:
        (self.root / path).write_text(json.dumps(services.trust_config))

    def log_in(self, email: str = RELEASE, **claims: Any) -> None:
        """Have a token in the variable."""
        self._patch.setenv("SIGSTORE_ID_TOKEN", self.services.token(email=email, **claims))

    def keys(self) -> list[str]:
        """The keys of the package's name."""
        found: Any = self.s3.list_objects_v2(Bucket=self.servers.bucket, Prefix="models/svd/")
        return [each["Key"] for each in found.get("Contents", [])]

    def key(self, name: str) -> str:
        """The key of an object of the package."""
        [found] = [key for key in self.keys() if key.endswith(f"/{name}")]
        return found

    def get(self, name: str) -> bytes:
        return bytes(self.s3.get_object(Bucket=self.servers.bucket, Key=self.key(name))["Body"].read())

    def put(self, name: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.servers.bucket, Key=self.key(name), Body=data)

    @property
    def released(self) -> bool:
        """Whether there is a release record or a signature."""
        return any("/releases/" in key or key.endswith(FILES) for key in self.keys())


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, services: SigstoreServices, monkeypatch: pytest.MonkeyPatch) -> Keyless:
    root = tmp_path / "project"
    root.mkdir()
    return Keyless(root, sandbox, services, monkeypatch)


def verify(*identities: str, issuer: str = ISSUER, config: str = OWN) -> str:
    """The setting that names whose signatures count."""
    return f"trust.verify={json.dumps([f'sigstore:{each} {issuer} {config}' for each in identities])}"


def refused(command: Callable[[], object], error: type[SagepackError]) -> SagepackError:
    with pytest.raises(error) as caught:
        command()
    return caught.value


def test_who_logs_in_signs_all_with_one_login_and_it_serves_where_this_identity_counts(cloud: Keyless) -> None:
    cloud.log_in()
    before = len(cloud.services.seen)
    built = cloud.project(SIGN, verify(RELEASE)).deploy()
    assert built.endpoint
    assert cloud.services.seen[before:] == ["/api/v2/signingCert"] + ["/api/v1/log/entries"] * 3
    signature = cloud.project(verify(RELEASE)).verify_remote().signature
    assert signature
    assert signature.key == f"sigstore:{RELEASE} {ISSUER} {OWN}"
    plan = cloud.project(SIGN, verify(RELEASE)).plan("deploy")
    assert [action.status for action in plan.actions][-2:] == ["skip", "skip"]
    assert f"signed by sigstore:{RELEASE}" in plan.actions[-2].reasons[0]
    # Nobody but who signs asks Sigstore.
    assert len(cloud.services.seen) == before + 4


def test_a_log_of_version_2_with_a_timestamp_authority_does_as_well(cloud: Keyless) -> None:
    with SigstoreServices(log_version=2) as services:
        cloud.services = services
        cloud.trust(OWN, services)
        cloud.log_in()
        assert cloud.project(SIGN, verify(RELEASE)).deploy().endpoint
        signing = ["/api/v1/timestamp", "/api/v2/log/entries"]
        assert services.seen == ["/api/v2/signingCert", *signing, *signing, *signing]
    assert cloud.project(verify(RELEASE)).verify_remote().signature
    bundle = json.loads(cloud.get("release.sig"))
    for change in ("tlogEntries", "timestampVerificationData"):
        changed = json.loads(json.dumps(bundle))
        changed["verificationMaterial"].pop(change)
        cloud.put("release.sig", json.dumps(changed).encode())
        refused(cloud.project(verify(RELEASE)).deploy, IntegrityError)


def test_a_plan_and_doctor_do_not_log_in(cloud: Keyless) -> None:
    cloud.log_in()
    before = len(cloud.services.seen)
    cloud.project(SIGN, verify(RELEASE)).plan("upload")
    checks = {each.id: each for each in cloud.project(SIGN, verify(RELEASE)).doctor().checks}
    assert "signs by the token in SIGSTORE_ID_TOKEN" in checks["signing-key"].detail
    public = "trust.verify=['sigstore:a@acme.com https://accounts.google.com']"
    project = cloud.project("trust.sign=sigstore", public)
    project.plan("upload")
    assert isinstance(project.progress, RecordedProgress)
    assert "its public log shows to everybody, for ever, who signed" in project.progress.text
    assert len(cloud.services.seen) == before


def test_another_identity_issuer_or_instance_does_not_count(cloud: Keyless) -> None:
    cloud.log_in()
    cloud.project(SIGN).upload()
    with SigstoreServices() as other:
        cloud.trust("config/other.json", other)
    mixed = cloud.services.trust_config
    with SigstoreServices() as other:
        mixed["trustedRoot"]["tlogs"] = other.trust_config["trustedRoot"]["tlogs"]
        (cloud.root / "config" / "other-log.json").write_text(json.dumps(mixed))
    for counted, reason in (
        (verify("other@acme.test"), "SANs do not match"),
        (verify(RELEASE[:-1]), "SANs do not match"),
        (verify(f"{RELEASE}.example"), "SANs do not match"),
        (verify(RELEASE.upper()), "SANs do not match"),
        (verify(RELEASE, issuer=f"{ISSUER}/"), "does not match"),
        (verify(RELEASE, issuer=GITHUB), "does not match"),
        (verify(RELEASE, config="config/other.json"), "certificate chain"),
        (verify(RELEASE, config="config/other-log.json"), "invalid log entry"),
    ):
        error = refused(cloud.project(counted).deploy, IntegrityError)
        assert reason in "\n".join((error.message, *error.details)), counted
    assert session_of(cloud.servers).client("sagemaker").list_models()["Models"] == []
    assert cloud.project(verify("other@acme.test", RELEASE)).deploy().endpoint


def _payload(bundle: dict[str, Any]) -> None:
    text = base64.b64decode(bundle["dsseEnvelope"]["payload"])
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(bytes([text[0], text[1] ^ 1, *text[2:]])).decode()


def _signature(bundle: dict[str, Any]) -> None:
    [signature] = bundle["dsseEnvelope"]["signatures"]
    text = bytearray(base64.b64decode(signature["sig"]))
    text[-1] ^= 1
    signature["sig"] = base64.b64encode(text).decode()


def _certificate(bundle: dict[str, Any]) -> None:
    material = bundle["verificationMaterial"]["certificate"]
    text = bytearray(base64.b64decode(material["rawBytes"]))
    text[-1] ^= 1
    material["rawBytes"] = base64.b64encode(text).decode()


def _version(bundle: dict[str, Any]) -> None:
    """A certificate of a version that there is not, for which the library has an error of its own kind."""
    material = bundle["verificationMaterial"]["certificate"]
    text = bytearray(base64.b64decode(material["rawBytes"]))
    assert text[8:13] == b"\xa0\x03\x02\x01\x02"
    text[12] ^= 8
    material["rawBytes"] = base64.b64encode(text).decode()


def _time(bundle: dict[str, Any]) -> None:
    [entry] = bundle["verificationMaterial"]["tlogEntries"]
    entry["integratedTime"] = str(int(entry["integratedTime"]) - 1)


def _unlogged(bundle: dict[str, Any]) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


@pytest.mark.parametrize("change", [_payload, _signature, _certificate, _version, _time, _unlogged])
def test_a_signature_with_a_flipped_bit_or_without_its_entry_in_the_log_is_refused(
    cloud: Keyless, change: Callable[[dict[str, Any]], None]
) -> None:
    cloud.log_in()
    cloud.project(SIGN, verify(RELEASE)).upload()
    whole = cloud.get("release.sig")
    bundle = json.loads(whole)
    change(bundle)
    cloud.put("release.sig", json.dumps(bundle).encode())
    error = refused(cloud.project(verify(RELEASE)).deploy, IntegrityError)
    assert "release.sig" in "\n".join((error.where or "", error.message, *error.details))
    cloud.put("release.sig", whole)
    assert cloud.project(verify(RELEASE)).deploy().endpoint


@pytest.mark.parametrize("log_version", [1, 2])
def test_the_entry_of_another_signature_of_the_same_login_does_not_stand_for_this_one(
    cloud: Keyless, log_version: int
) -> None:
    with SigstoreServices(log_version=log_version) as services:
        cloud.services = services
        cloud.trust(OWN, services)
        cloud.log_in()
        cloud.project(SIGN, verify(RELEASE)).upload()
    bundle, other = (json.loads(cloud.get(name)) for name in ("release.sig", "model.sig"))
    material, lent = bundle["verificationMaterial"], other["verificationMaterial"]
    assert material["certificate"] == lent["certificate"]
    for what in (("tlogEntries",), ("tlogEntries", "timestampVerificationData")):
        mixed = {**material, **{each: lent[each] for each in what if each in lent}}
        cloud.put("release.sig", json.dumps({**bundle, "verificationMaterial": mixed}).encode())
        error = refused(cloud.project(verify(RELEASE)).deploy, IntegrityError)
        assert "release.sig" in "\n".join((error.where or "", error.message, *error.details))
    cloud.put("release.sig", json.dumps(bundle).encode())
    assert cloud.project(verify(RELEASE)).deploy().endpoint


def test_a_signature_outlives_its_certificate_and_each_login_gets_a_new_one(cloud: Keyless) -> None:
    cloud.services.lifetime = timedelta(seconds=30)  # less than is begun with, so each signature logs in anew
    cloud.log_in()
    before = len(cloud.services.seen)
    cloud.project(SIGN, verify(RELEASE)).upload()
    assert cloud.services.seen[before:].count("/api/v2/signingCert") > 1
    assert cloud.project(verify(RELEASE)).deploy().endpoint


def test_who_would_not_count_or_has_no_token_moves_nothing(cloud: Keyless, monkeypatch: pytest.MonkeyPatch) -> None:
    def problem(error: type[SagepackError] = UserError) -> str:
        found = refused(cloud.project(SIGN, verify(RELEASE)).upload, error)
        assert (cloud.released, cloud.moved) == (False, [])
        return f"{found.where}: {found.message}; {found.fix}"

    monkeypatch.setattr("sys.stdin", None)
    assert "no token, and no terminal to log in from; set SIGSTORE_ID_TOKEN" in problem()
    cloud.log_in("someone@acme.test")
    assert f"add to trust.verify: 'sigstore:someone@acme.test {ISSUER} {OWN}'" in problem()
    cloud.log_in(ends_in=-60)
    assert "the token in SIGSTORE_ID_TOKEN has ended" in problem()
    cloud.log_in(audience="another")
    assert "the token in SIGSTORE_ID_TOKEN is of no use" in problem()
    monkeypatch.delenv("SIGSTORE_ID_TOKEN")
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "permissions: id-token: write" in problem()
    monkeypatch.delenv("GITHUB_ACTIONS")
    monkeypatch.setenv("GITLAB_CI", "true")
    assert "id_tokens: SIGSTORE_ID_TOKEN: aud: sigstore" in problem()


def test_a_job_of_github_actions_signs_with_its_own_identity(cloud: Keyless, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", WORKFLOW)
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_URL", f"{cloud.services.url}/job-token")
    counted = verify(f"https://github.com/{WORKFLOW}", issuer=GITHUB)
    assert cloud.project(SIGN, counted).deploy().endpoint
    branch = WORKFLOW.replace("main", "feature")
    monkeypatch.setenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN", branch)
    error = refused(cloud.project(SIGN, counted).sign, UserError)
    assert f"what https://github.com/{branch} signs would not count" in error.message


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the library leaves a socket open
def test_a_person_at_a_terminal_logs_in_with_the_browser(cloud: Keyless, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

    def browser(url: str) -> bool:
        threading.Thread(target=lambda: urllib.request.urlopen(url, timeout=30).read()).start()
        return True

    monkeypatch.setattr("sys.stdin", Terminal())
    monkeypatch.setattr("webbrowser.open", browser)
    assert cloud.project(SIGN, verify("person@acme.test")).deploy().endpoint
    assert cloud.services.seen.count("/auth") == 1
    gc.collect()


def test_where_sigstore_fails_nothing_is_released_and_the_next_run_goes_on(
    cloud: Keyless, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.log_in()
    for path, status, error in (
        ("/api/v2/signingCert", 503, RemoteError),
        ("/api/v2/signingCert", 403, UserError),
        ("/api/v1/log/entries", 503, RemoteError),
        ("/api/v1/log/entries", 400, UserError),
    ):
        cloud.services.refuse = {path: status}
        found = refused(cloud.project(SIGN, verify(RELEASE)).upload, error)
        assert (f"HTTP {status}" in found.message, cloud.released) == (True, False)
    with monkeypatch.context() as hurried:
        hurried.setattr(keyless_signer, "PATIENCE", 0.5)
        cloud.services.refuse = {"/api/v1/log/entries": 0}
        found = refused(cloud.project(SIGN, verify(RELEASE)).upload, RemoteError)
        assert ("no answer: not within" in found.message, cloud.released) == (True, False)
    cloud.services.refuse = {}
    project = cloud.project(SIGN, verify(RELEASE))
    project.upload()
    assert [each for each in cloud.moved if each.endswith("model.tar.gz")] == []
    assert cloud.project(verify(RELEASE)).deploy().endpoint
    config = cloud.services.trust_config
    config["signingConfig"]["caUrls"][0]["url"] = "http://127.0.0.1:9"
    (cloud.root / OWN).write_text(json.dumps(config))
    found = refused(cloud.project(SIGN, verify(RELEASE), "environment.SAUCE=mustard").sign, RemoteError)
    assert "no answer" in found.message


def test_what_the_roots_of_this_machine_do_not_verify_is_not_published(cloud: Keyless) -> None:
    cloud.log_in()
    config = cloud.services.trust_config
    with SigstoreServices() as other:
        config["trustedRoot"]["tlogs"] = other.trust_config["trustedRoot"]["tlogs"]
    (cloud.root / OWN).write_text(json.dumps(config))
    error = refused(cloud.project(SIGN, verify(RELEASE)).upload, UserError)
    assert ("does not verify with the roots" in error.message, cloud.released) == (True, False)


def test_who_signs_goes_from_a_key_to_an_identity_and_reads_nothing_of_the_model(cloud: Keyless) -> None:
    pair = KeyPair.of("ours")
    private, public = pair.write(cloud.root / "config" / "keys", "ours")
    private.rename(cloud.root.parent / "ours.pem")
    cloud.project(f"trust.sign=file:{cloud.root.parent}/ours.pem", f"trust.verify=[config/keys/{public.name}]").upload()
    cloud.log_in()
    both = f"trust.verify={json.dumps([f'sigstore:{RELEASE} {ISSUER} {OWN}', 'config/keys/ours.pub'])}"
    signed = cloud.project(SIGN, both).sign()
    assert (signed.before, signed.changed, signed.bytes_read) == ("config/keys/ours.pub", True, 0)
    again = cloud.project(SIGN, both).sign()
    assert (again.changed, again.key) == (False, f"sigstore:{RELEASE} {ISSUER} {OWN}")
    assert cloud.project(verify(RELEASE)).deploy().endpoint


def test_promotion_rollback_and_export_verify_identities_as_they_do_keys(cloud: Keyless, tmp_path: Path) -> None:
    overlays = cloud.root / "config" / "env"
    whole = (overlays / "cloud.yaml").read_text()
    counted = f'["sigstore:{RELEASE} {ISSUER} {OWN}"]'
    (overlays / "cloud.yaml").write_text(f"{whole}trust: {{sign: 'sigstore:{OWN}', verify: {counted}}}\n")
    mine = counted.replace(RELEASE, "stage@acme.test")
    stage = whole.replace("/models", "/stage") + f"trust: {{sign: 'sigstore:{OWN}', verify: {mine}}}\n"
    (overlays / "stage.yaml").write_text(f"{stage}endpoint: {{name: svd-stage}}\n")

    def staged() -> Project:
        return Project(cloud.root, str(cloud.root / "config" / "svd.yaml"), "stage", (), RecordedProgress())

    cloud.log_in()
    cloud.project().deploy()
    staged().lock()
    error = refused(lambda: staged().promote("cloud"), UserError)
    assert f"what {RELEASE} signs would not count" in error.message
    cloud.log_in("stage@acme.test")
    assert staged().promote("cloud").endpoint
    signature = staged().verify_remote().signature
    assert signature
    assert "stage@acme.test" in signature.key
    # A release of another identity neither is promoted nor serves again nor is exported.
    cloud.log_in()
    cloud.project("environment.SAUCE=mustard").deploy()
    (overlays / "cloud.yaml").write_text(f"{whole}trust: {{verify: {mine}}}\n")
    for command in (
        lambda: staged().promote("cloud"),
        cloud.project().rollback,
        lambda: cloud.project().export("cloudformation", str(tmp_path / "stack")),
    ):
        error = refused(command, IntegrityError)
        assert "it is not a signature of stage@acme.test" in "\n".join((error.message, *error.details))


GENUINE = Path(__file__).parents[1] / "data" / "keyless" / "model.sig"
PUBLISHER = ("stefanb@us.ibm.com", "https://sigstore.verify.ibm.com/oauth2")


def test_a_genuine_signature_of_the_public_instance_is_of_its_identity_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # so the roots are those that the library brings
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    identity, issuer = PUBLISHER
    data = GENUINE.read_bytes()

    def files(data: bytes, identity: str, issuer: str) -> dict[str, str]:
        return oms.signed_files(data, [Identity("", identity, issuer)])[0]

    assert sorted(files(data, *PUBLISHER)) == ["signme-1", "signme-2"]
    for wrong in ((data, f"x{identity}", issuer), (data, identity, "https://accounts.google.com")):
        with pytest.raises(SignatureError, match="it is not a signature of"):
            files(*wrong)
    for change in (_payload, _signature, _certificate, _version, _time, _unlogged):
        bundle = json.loads(data)
        change(bundle)
        with pytest.raises(SignatureError):
            files(json.dumps(bundle).encode(), *PUBLISHER)


def test_public_tools_accept_our_signature_with_the_configuration_of_the_instance(
    cloud: Keyless, tmp_path: Path
) -> None:
    cloud.log_in()
    cloud.project(SIGN, verify(RELEASE)).upload()
    model = tmp_path / "model"
    model.mkdir()
    (tmp_path / "model.tar.gz").write_bytes(cloud.get("model.tar.gz"))
    subprocess.run(["tar", "-xzf", tmp_path / "model.tar.gz", "-C", model], check=True, timeout=60)
    (tmp_path / "model.sig").write_bytes(cloud.get("model.sig"))
    tool = environment("model-signing", ["model-signing==1.1.1", "pyopenssl"]) / "model_signing"

    def judged(identity: str) -> int:
        command = [str(tool), "verify", "sigstore", "--signature", "model.sig", "--trust_config", str(cloud.root / OWN)]
        command += ["--identity", identity, "--identity_provider", ISSUER, "model"]
        return subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=120).returncode

    assert (judged(RELEASE), judged("other@acme.test")) == (0, 1)
    (model / "more").write_bytes(b"")
    assert judged(RELEASE) == 1
    # Both other documents are about the manifest.
    tool = environment("sigstore", LIBRARY) / "sigstore"
    (tmp_path / "manifest.json").write_bytes(cloud.get("manifest.json"))
    for name in FILES[1:]:
        (tmp_path / name).write_bytes(cloud.get(name))
        for identity, code in ((RELEASE, 0), ("other@acme.test", 1)):
            command = [str(tool), "--trust-config", str(cloud.root / OWN), "verify", "identity", "--bundle", name]
            command += ["--cert-identity", identity, "--cert-oidc-issuer", ISSUER, "manifest.json"]
            ran = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, timeout=120)
            assert ran.returncode == code, ran.stderr.decode()
