"""S3 servers that nobody here wrote, from PyPI, on loopback: LocalStack over HTTPS, and OpenStack Swift's S3 API.

LocalStack checks checksums, of parts and of the full object; Swift checks signatures. Their environments are made once, in
`build/judges/`, since LocalStack's alone takes 200 MB.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from tests.helpers.environments import AWSCLI, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCALSTACK = [
    "localstack-core[base-runtime]==4.12.0",
    # What it asks for is looser than what it works with.
    "cbor2==5.8.0",
    "pyopenssl==25.3.0",
    "service-identity<26",
]
SWIFT = ["swift==2.38.3", "pyeclib==1.8.0"]

# LocalStack's server ignores the interface it is told to listen on.
_LOOPBACK = """\
import twisted.internet.endpoints as endpoints
class Loopback(endpoints.TCP4ServerEndpoint):
    def __init__(self, reactor, port, backlog=50, interface="127.0.0.1"):
        super().__init__(reactor, port, backlog, interface or "127.0.0.1")
endpoints.TCP4ServerEndpoint = Loopback
from localstack.runtime.main import main
main()
"""

_SWIFT_LAUNCH = """\
import sys
import swift.common.utils
swift.common.utils.SWIFT_CONF_FILE = sys.argv[1] + "/swift.conf"
from swift.common.wsgi import run_wsgi
sys.exit(run_wsgi(sys.argv[1] + "/" + sys.argv[2] + "-server.conf", sys.argv[2] + "-server", verbose=True))
"""

_SWIFT_COMMON = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_level = ERROR
log_address = {folder}/nolog
recon_cache_path = {folder}
"""

_SWIFT_PROXY = """\
[pipeline:main]
pipeline = catch_errors cache listing_formats bulk s3api tempauth slo dlo versioned_writes symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
node_timeout = 60
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
check_bucket_owner = false
allow_multipart_uploads = true
s3_acl = false
min_segment_size = 5242880
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcache}
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:bulk]
use = egg:swift#bulk
[filter:slo]
use = egg:swift#slo
min_segment_size = 1
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_versioned_writes = true
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
[filter:listing_formats]
use = egg:swift#listing_formats
"""


@dataclass(frozen=True)
class Store:
    """A running server.

    Attributes:
        url: its endpoint.
        access_key, secret_key: credentials.
        ca: certificate to trust, or None over plain HTTP.
        aws: the AWS CLI.
    """

    url: str
    access_key: str
    secret_key: str
    ca: Path | None
    aws: Path

    @property
    def environment(self) -> dict[str, str]:
        """For the AWS CLI, and for boto3's trust."""
        given = {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        }
        return {**given, "AWS_CA_BUNDLE": str(self.ca)} if self.ca else given

    def download(self, uri: str, target: Path) -> bytes:
        """An object, as the AWS CLI brings it."""
        command = [str(self.aws), "s3", "cp", "--only-show-errors", "--endpoint-url", self.url, uri, str(target)]
        subprocess.run(command, env={**os.environ, **self.environment}, check=True, timeout=1800)
        return target.read_bytes()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def certificate(folder: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1, and it together with its key."""
    from cryptography import x509  # noqa: PLC0415 - comes with the sandbox's moto
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "ca.pem").write_bytes(public)
    (folder / "both.pem").write_bytes(private + public)
    return folder / "ca.pem", folder / "both.pem"


@contextmanager
def localstack(folder: Path) -> Iterator[Store]:
    """LocalStack's S3 alone, over HTTPS."""
    python = environment("localstack", LOCALSTACK) / "python"
    aws = environment("awscli", AWSCLI) / "aws"
    ca, both = certificate(folder)
    (folder / "loopback.py").write_text(_LOOPBACK)
    port = free_port()
    settings = {
        "SERVICES": "s3",
        "EAGER_SERVICE_LOADING": "0",
        "STRICT_SERVICE_LOADING": "1",
        "DISABLE_EVENTS": "1",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "LOCALSTACK_HOST": f"127.0.0.1:{port}",
        "DNS_ADDRESS": "0",
        "CUSTOM_SSL_CERT_PATH": str(both),
        "LOCALSTACK_VOLUME_DIR": str(folder / "volume"),
    }
    with _running([[str(python), str(folder / "loopback.py")]], folder, port, settings):
        yield Store(f"https://127.0.0.1:{port}", "test", "test", ca, aws)


@contextmanager
def swift(folder: Path) -> Iterator[Store]:
    """OpenStack Swift with one device, its S3 API over plain HTTP."""
    tools = environment("swift", SWIFT)
    aws = environment("awscli", AWSCLI) / "aws"
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "launch.py").write_text(_SWIFT_LAUNCH)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = a\nswift_hash_path_prefix = b\n"
        "[storage-policy:0]\nname = gold\ndefault = yes\n"
    )
    kinds = {"object": "object", "container": "container", "account": "account", "proxy": None}
    ports = {kind: free_port() for kind in kinds}
    for kind, ring in kinds.items():
        text = _SWIFT_COMMON.format(port=ports[kind], folder=folder, user=os.environ.get("USER", "root"))
        if ring is None:
            text += _SWIFT_PROXY.format(memcache=free_port())
        else:
            text += f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n"
            builder = [str(tools / "python"), str(tools / "swift-ring-builder"), f"{ring}.builder"]
            place = f"r1z1-127.0.0.1:{ports[kind]}/d1"
            for command in (["create", "4", "1", "0"], ["add", place, "1"], ["rebalance"]):
                subprocess.run([*builder, *command], cwd=folder, check=True, stdout=subprocess.DEVNULL, timeout=1800)
        (folder / f"{kind}-server.conf").write_text(text)
    commands = [[str(tools / "python"), str(folder / "launch.py"), str(folder), kind] for kind in kinds]
    with _running(commands, folder, ports["proxy"], {}):
        yield Store(f"http://127.0.0.1:{ports['proxy']}", "test:tester", "testing", None, aws)


@contextmanager
def _running(commands: list[list[str]], folder: Path, port: int, settings: dict[str, str]) -> Iterator[None]:
    """The processes, from when the last one listens."""
    with (folder / "log").open("wb") as log:
        processes = [
            subprocess.Popen(command, cwd=folder, env={**os.environ, **settings}, stdout=log, stderr=log)
            for command in commands
        ]
        try:
            _wait(port, processes, folder / "log")
            yield
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(10)
                process.kill()
                process.wait(10)


def _wait(port: int, processes: list[subprocess.Popen[bytes]], log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end and all(process.poll() is None for process in processes):
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-3000:]}")
