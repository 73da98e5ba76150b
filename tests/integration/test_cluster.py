"""Publishing by the workers of a real Dask cluster: whatever dies, the object is right and only what S3 lacks is sent again.

Scheduler, workers and client are processes of their own. Each is killed, frozen or doubled in the middle of an upload, and the
object is compared with the archive that `package` makes here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from sagepack.api.project import Project
from sagepack.aws.session import Aws, AwsConnection
from sagepack.engine import cluster
from sagepack.errors import SagepackError
from sagepack.spec.model import Cluster, ClusterTls
from tests.helpers.cloud import OVERLAY
from tests.helpers.dask_cluster import DaskCluster
from tests.helpers.paths import ROOT
from tests.helpers.processes import children_of
from tests.helpers.publishing import MiB, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.servers import Servers

pytestmark = pytest.mark.slow

REPO, FILES = "acme/large", 5
SIZE = 11 * MiB + 7  # of a file: a unit of two parts
IN_FLIGHT = 2  # parts that a worker was sending when it died may have arrived just after S3 was asked for them
SLOW = 6 * MiB  # bytes per second of a connection: a unit takes a second


@dataclass
class Ended:
    """A client that ended: its exit code, the document on stdout, and what it said."""

    code: int
    document: dict[str, Any]
    said: str

    @property
    def error(self) -> str:
        """Everything that its error says, in one line."""
        return " ".join(self.said.split())


class Farm:
    """A project whose model is on the sandbox's Hub, and clusters that publish it."""

    def __init__(self, folder: Path, servers: Servers, template: Path) -> None:
        self.folder, self.servers = folder, servers
        self.clusters: list[DaskCluster] = []
        self._clients: list[subprocess.Popen[str]] = []
        self._template = template
        self.want = (template / "sha256").read_text()

    @property
    def environment(self) -> dict[str, str]:
        """Of whoever publishes: the addresses and keys of the sandbox, nothing of this machine's user."""
        return environment(self.servers, self.folder)

    def cluster(self, workers: int = 2, **settings: str) -> DaskCluster:
        """A cluster; the settings are Dask's, as variables."""
        folder = self.folder / f"cluster-{len(self.clusters)}"
        folder.mkdir()
        made = DaskCluster(folder, {**self.environment, **settings})
        self.clusters.append(made)
        made.start_scheduler()
        made.start_workers(workers)
        return made

    def client(self, address: str, *words: str, root: str = "project", **environment: str) -> subprocess.Popen[str]:
        """Begin to publish from a machine, which is new the first time."""
        place = self.folder / root
        if not place.exists():
            shutil.copytree(self._template / "project", place)
        command = [sys.executable, "-m", "tests.helpers.cluster_client", *(words or ("upload",))]
        command += ["--config", "config/large.yaml", "--env", "cloud", "--json"]
        command += ["--set", f"cluster.scheduler={address}", "--set", "cluster.connections=2"]
        process = subprocess.Popen(
            command,
            cwd=place,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._clients.append(process)
        return process

    def project(self, address: str) -> Project:
        """The project, in this process."""
        root = self.folder / "project"
        return Project(root, str(root / "config" / "large.yaml"), "cloud", (f"cluster.scheduler={address}",))

    def ended(self, client: subprocess.Popen[str], timeout: float = 180) -> Ended:
        """Wait for the end of a client."""
        out, said = client.communicate(timeout=timeout)
        return Ended(client.returncode, json.loads(out) if out else {}, said)

    def publish(self, address: str, *words: str, **options: str) -> Ended:
        """Publish to the end."""
        return self.ended(self.client(address, *words, **options))

    def parts(self) -> Counter[str]:
        """How often each part was stored, by its number; those of the check before the upload do not count."""
        return Counter(
            match[1]
            for request in self.servers.aws.faults.log
            if request.method == "PUT" and request.status == 200
            if (match := re.search(r"partNumber=(\d+)", request.query))
        )

    def sent_again(self) -> int:
        """How many parts were stored once more than needed."""
        found = self.parts()
        return found.total() - len(found)

    def published(self) -> list[str]:
        """The archives in the bucket."""
        listed = boto(self.servers).list_objects_v2(Bucket=self.servers.bucket).get("Contents", ())
        return [each["Key"] for each in listed if each["Key"].endswith("model.tar.gz")]

    def until(self, parts: int) -> None:
        """Wait until so many parts are stored."""
        end = time.monotonic() + 90
        while self.parts().total() < parts:
            assert time.monotonic() < end, "\n".join(each.logs()[-3000:] for each in self.clusters)
            time.sleep(0.02)

    def object_is_right(self) -> bool:
        """Whether there is exactly one archive, and it is byte for byte the one that is packaged here."""
        (key,) = self.published()
        sha = hashlib.sha256(
            boto(self.servers).get_object(Bucket=self.servers.bucket, Key=key)["Body"].read()
        ).hexdigest()
        return sha == self.want

    def end(self) -> None:
        """End every process."""
        for client in self._clients:
            client.kill()
            client.communicate()
        for member in self.clusters:
            member.end()
            logs = member.logs()
            assert self.servers.secret_key not in logs
            assert self.servers.hf_token not in logs


@dataclass(frozen=True)
class Authority:
    """Certificates that one authority signed: `cert` is everybody's."""

    ca: Path
    cert: Path
    key: Path

    @property
    def tls(self) -> ClusterTls:
        """What the spec declares."""
        return ClusterTls(str(self.ca), str(self.cert), str(self.key))

    @property
    def setting(self) -> str:
        """The same on the command line."""
        return f"{{ca: {self.ca}, cert: {self.cert}, key: {self.key}}}"

    @property
    def variables(self) -> dict[str, str]:
        """Dask's settings of scheduler and workers."""
        tls = "DASK_DISTRIBUTED__COMM__TLS"
        members = {
            f"{tls}__{who}__{name}": str(file)
            for who in ("SCHEDULER", "WORKER")
            for name, file in (("CERT", self.cert), ("KEY", self.key))
        }
        return {
            **members,
            f"{tls}__CA_FILE": str(self.ca),
            "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
            "DASK_DISTRIBUTED__COMM__DEFAULT_SCHEME": "tls",
        }


def authority(folder: Path) -> Authority:
    """An authority and one certificate, in files."""
    folder.mkdir()
    files = Authority(folder / "ca.pem", folder / "node.pem", folder / "node.key")
    ca_key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(timezone.utc)

    def signed(name: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> bytes:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
        made = x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        made = made.not_valid_before(now - timedelta(hours=1)).not_valid_after(now + timedelta(hours=1))
        made = made.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        return made.sign(ca_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    key = ec.generate_private_key(ec.SECP256R1())
    files.ca.write_bytes(signed("authority", ca_key, is_ca=True))
    files.cert.write_bytes(signed("node", key, is_ca=False))
    pem, form, none = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files.key.write_bytes(key.private_bytes(pem, form, none))
    return files


def weights(data: bytes) -> bytes:
    """A safetensors file with one tensor."""
    header = json.dumps({"w": {"dtype": "U8", "shape": [len(data)], "data_offsets": [0, len(data)]}}).encode()
    return struct.pack("<Q", len(header)) + header + data


def environment(servers: Servers, folder: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "HF_", "DASK_"))}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "NO_COLOR": "1",
        "AWS_ENDPOINT_URL": servers.aws_url,
        "AWS_ACCESS_KEY_ID": servers.access_key,
        "AWS_SECRET_ACCESS_KEY": servers.secret_key,
        "AWS_CONFIG_FILE": os.devnull,
        "HF_ENDPOINT": servers.hub_url,
        "HF_TOKEN": servers.hf_token,
        "HF_HUB_CACHE": str(folder / "cache"),
        "HF_XET_CACHE": str(folder / "xet"),
        "NO_PROXY": "127.0.0.1",
        "DASK_DISTRIBUTED__SCHEDULER__WORKER_SATURATION": "1.0",
    }


def boto(servers: Servers) -> Any:
    return Aws(AwsConnection("us-east-1", None, servers.aws_url, servers.access_key, servers.secret_key)).client("s3")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory, _servers: Servers) -> Path:
    """The model, a project with its lock, and the SHA-256 of the archive: made once."""
    folder = tmp_path_factory.mktemp("template")
    _servers.reset()
    model, root = folder / "model", folder / "project"
    model.mkdir()
    (model / "config.json").write_text("{}")
    for number in range(FILES):
        (model / f"part-{number}.safetensors").write_bytes(weights(noise(SIZE, 100 + number)))
    for name in ("config", "inference_code"):
        shutil.copytree(ROOT / name, root / name)
    (root / "config" / "env" / "cloud.yaml").write_text(OVERLAY)
    commit = _servers.hub.repositories.add(REPO, model)
    spec = (root / "config" / "svd.yaml").read_text().replace("name: svd", "name: large", 1)
    spec = re.sub(r"  id: .*", f"  id: {REPO}", spec)
    spec = re.sub(r"  revision: .*", f"  revision: {commit}", spec).replace("  variant: fp16\n", "")
    (root / "config" / "large.yaml").write_text(spec)
    (root / "config" / "svd.yaml").unlink()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(_servers, folder).items():
            patch.setenv(name, value)
        # It reads the variable when it is imported, which another test of this process may have done.
        patch.setattr("huggingface_hub.constants.ENDPOINT", _servers.hub_url)
        package = Project(root, str(root / "config" / "large.yaml"), "cloud").package()
    assert package.archive is not None
    archive = next((root / "dist").rglob("model.tar.gz"))
    (folder / "sha256").write_text(hashlib.sha256(archive.read_bytes()).hexdigest())
    shutil.rmtree(root / "dist")
    shutil.rmtree(root / "build")
    return folder


@pytest.fixture
def farm(tmp_path: Path, sandbox: Servers, template: Path) -> Iterator[Farm]:
    sandbox.hub.repositories.add(REPO, template / "model")
    made = Farm(tmp_path, sandbox, template)
    sandbox.faults.clear()
    sandbox.aws.faults.clear()
    yield made
    made.end()


def test_workers_publish_the_archive_that_is_packaged_here_and_a_second_run_does_nothing(farm: Farm) -> None:
    dask = farm.cluster()
    ended = farm.publish(dask.address)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert set(farm.parts().values()) == {1}
    assert "of tcp://127.0.0.1" in ended.said
    before = farm.parts().total()
    dask.end()
    assert farm.publish(dask.address).code == 0  # and needs no cluster
    assert farm.parts().total() == before


def test_a_killed_worker_is_replaced_by_another(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster()
    client = farm.client(dask.address)
    farm.until(3)
    dask.workers[0].kill()
    farm.servers.faults.end()
    ended = farm.ended(client)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the children of a process")
def test_a_killed_process_under_a_nanny_is_started_again(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(0)
    dask.start_workers(1, nanny=True)
    client = farm.client(dask.address)
    farm.until(3)
    children = children_of(dask.workers[0].pid)
    (worker,) = (child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes())
    os.kill(worker, signal.SIGKILL)
    farm.servers.faults.end()
    ended = farm.ended(client)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT


def test_after_the_death_of_the_client_the_same_command_continues(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(1)
    client = farm.client(dask.address)
    farm.until(3)
    client.kill()
    client.communicate()
    farm.servers.faults.end()
    ended = farm.publish(dask.address)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT  # the worker ends the unit that it is at


def test_after_the_death_of_the_scheduler_the_client_says_so_and_another_cluster_continues(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(1)
    client = farm.client(dask.address)
    farm.until(3)
    dask.kill_scheduler()
    ended = farm.ended(client)
    assert ended.code == 3, ended.said
    assert "the connection to the scheduler is lost" in ended.error
    assert "the same command continues" in ended.error
    farm.servers.faults.end()
    for worker in dask.workers:
        worker.wait(60)  # by themselves
    ended = farm.publish(farm.cluster(1).address)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT


def test_after_the_death_of_all_of_them_another_machine_continues(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(1)
    client = farm.client(dask.address)
    farm.until(3)
    client.kill()
    dask.end()
    client.communicate()
    farm.servers.faults.end()
    ended = farm.publish(farm.cluster(1).address, root="other")
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT


@pytest.mark.parametrize("woken", ["while its unit is made elsewhere", "after the completion"])
def test_a_frozen_worker_loses_its_unit_and_spoils_nothing_when_it_wakes(farm: Farm, woken: str) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="2s")
    client = farm.client(dask.address)
    farm.until(2)
    frozen = dask.workers[0]
    frozen.send_signal(signal.SIGSTOP)
    if woken == "after the completion":
        farm.servers.faults.end()
        ended = farm.ended(client)
        frozen.send_signal(signal.SIGCONT)
    else:
        dask.wait_for("failed to heartbeat")
        frozen.send_signal(signal.SIGCONT)
        farm.servers.faults.end()
        ended = farm.ended(client)
    assert ended.code == 0, ended.said
    frozen.wait(60)  # the scheduler does not take it back
    assert farm.object_is_right()


@pytest.mark.parametrize("clusters", [1, 2])
def test_two_clients_at_once_make_one_object_and_both_end_well(farm: Farm, clusters: int) -> None:
    farm.servers.faults.rate(SLOW)
    addresses = [farm.cluster(3 - clusters).address for _ in range(clusters)]
    clients = [farm.client(addresses[-number % clusters], root=f"machine-{number}") for number in range(2)]
    farm.until(2)
    farm.servers.faults.end()
    for client in clients:
        ended = farm.ended(client)
        assert ended.code == 0, ended.said
    assert farm.object_is_right()


def test_a_flipped_bit_at_the_hub_ends_the_upload_with_both_digests(farm: Farm) -> None:
    farm.servers.faults.corrupt("*part-3*", at=SIZE // 2)
    ended = farm.publish(farm.cluster(1).address)
    assert ended.code == 4, ended.said
    assert "part-3.safetensors" in ended.error
    assert len(re.findall(r"[0-9a-f]{64}", ended.document["error"]["message"])) == 2
    assert not farm.published()


def test_a_cluster_without_a_worker_is_given_up(farm: Farm) -> None:
    ended = farm.publish(farm.cluster(0).address, SAGEPACK_TEST_WAIT="1")
    assert ended.code == 3, ended.said
    assert "the cluster has no worker" in ended.error
    assert "dask worker" in ended.error
    assert farm.parts().total() == 0


def test_after_the_death_of_the_last_worker_the_client_gives_up_and_a_new_worker_continues(farm: Farm) -> None:
    farm.servers.faults.rate(SLOW)
    dask = farm.cluster(1)
    dask.wait_for("Register worker")
    client = farm.client(dask.address, SAGEPACK_TEST_WAIT="1")
    farm.until(3)
    dask.workers[0].kill()
    ended = farm.ended(client)
    farm.servers.faults.end()
    assert ended.code == 3, ended.said
    assert f"no worker of {dask.address} is left: waiting up to 1 s for another" in ended.said
    assert "the cluster has no worker" in ended.error
    dask.start_workers(1)
    ended = farm.publish(dask.address)
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    assert farm.sent_again() <= IN_FLIGHT


def test_every_worker_that_lacks_something_is_named_and_no_unit_is_handed_out(farm: Farm, tmp_path: Path) -> None:
    dask = farm.cluster(1)
    shutil.copytree(ROOT / "sagepack", tmp_path / "old" / "sagepack", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "old" / "sagepack" / "version.py").write_text('__version__ = "0.0.7"\n')
    dask.start_workers(1, {**farm.environment, "PYTHONPATH": str(tmp_path / "old")})
    bare = {name: value for name, value in farm.environment.items() if name != "AWS_ACCESS_KEY_ID"}
    dask.start_workers(1, {**bare, "AWS_EC2_METADATA_DISABLED": "true"})
    dask.wait_for("Register worker", 3)
    ended = farm.publish(dask.address)
    assert ended.code == 1, ended.said
    assert "2 workers of the cluster cannot publish, so no unit was handed out" in ended.error
    assert "it has sagepack 0.0.7, this machine " in ended.error
    assert "no AWS credentials" in ended.error
    assert re.search("policy [^`]*--for worker` prints the policy", ended.error)
    assert farm.parts().total() == 0
    with pytest.MonkeyPatch.context() as patch:
        for name, value in farm.environment.items():
            patch.setenv(name, value)
        checks = farm.project(dask.address).doctor().checks
    (check,) = [each for each in checks if each.id == "cluster"]
    assert check.verdict == "failed"
    assert "it has sagepack 0.0.7" in check.detail


def test_tls_lets_only_those_in_who_have_a_certificate_of_the_authority(farm: Farm, tmp_path: Path) -> None:
    ours, others = authority(tmp_path / "ours"), authority(tmp_path / "others")
    address = farm.cluster(1, **ours.variables).address
    assert address.startswith("tls://")
    ended = farm.publish(address, "upload", "--set", f"cluster.tls={ours.setting}")
    assert ended.code == 0, ended.said
    assert farm.object_is_right()
    ca, cert, key = map(str, (ours.ca, ours.cert, others.key))
    for declared, message in (
        (Cluster(address), "TLS takes certificates, and none are declared"),
        (Cluster(address, tls=others.tls), "the scheduler's certificate is not one of cluster.tls.ca"),
        (Cluster(address, tls=replace(others.tls, ca=ca)), "does not accept this machine's certificate"),
        (Cluster(address, tls=ClusterTls(ca, cert, key)), "the files of cluster.tls do not serve"),
        (Cluster(address.replace("tls", "tcp", 1)), "the scheduler closed the connection"),
    ):
        with pytest.raises(SagepackError, match=message), cluster.connected(declared, tmp_path):
            pass


def test_the_jobs_of_a_fleet_publish_by_the_cluster_that_their_environment_names(farm: Farm) -> None:
    dask, root = farm.cluster(), farm.folder / "project"
    shutil.copytree(farm._template / "project", root)
    for env in ("cloud", "other"):  # with targets of their own, so that both send, at the same time
        overlay = OVERLAY.replace("/models", f"/{env}") + f"cluster: {{scheduler: {dask.address}, connections: 2}}\n"
        (root / "config" / "env" / f"{env}.yaml").write_text(overlay)
    words = ["fleet", "upload", "--select", "config/large.yaml", "--envs", "cloud,other", "--json"]
    command = [sys.executable, "-m", "tests.helpers.cluster_client", *words]
    done = subprocess.run(
        command, cwd=root, env=farm.environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [job["status"] for job in json.loads(done.stdout)["result"]["jobs"]] == ["done", "done"]
    for env in ("cloud", "other"):
        log = (root / "build" / "fleet" / f"large-{env}.log").read_text()
        assert f"2 workers of {dask.address}" in log
    assert len(farm.published()) == 2
    assert set(farm.parts().values()) == {2}  # each number once for each object
    assert not (farm.folder / "cache").exists()  # nothing was downloaded here


def test_a_scheduler_without_tls_and_a_client_without_certificates_are_told_and_hold_up_nothing(
    farm: Farm, tmp_path: Path
) -> None:
    address = farm.cluster(0).address.replace("tcp", "tls", 1)
    files = ("--set", f"cluster.tls={authority(tmp_path / 'ours').setting}")
    for words, message in (((), "TLS takes certificates, and none are declared"), (files, "does not speak TLS")):
        begun = time.monotonic()
        ended = farm.publish(address, "upload", *words)
        assert ended.code == 1, ended.said
        assert message in ended.error
        assert "Traceback" not in ended.said
        assert time.monotonic() < begun + 20  # Dask waits so long for a client that is left to itself
