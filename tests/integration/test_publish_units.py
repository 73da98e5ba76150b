"""Publishing by workers with the real clients: the sandbox's Hub and S3, threads and processes that run the real function."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import AwsConnection
from sagepack.engine import publication, unit, unit_pool
from sagepack.engine.clients import Connections
from sagepack.engine.unit_pool import UnitPool
from sagepack.engine.worker_check import Demand
from sagepack.errors import IntegrityError, UserError
from sagepack.publish.delta.parts import Limits
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.upload import context as upload_context
from sagepack.publish.upload.context import UnitWorkers
from sagepack.publish.upload.unit_text import Services
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import BUCKET, session_of
from tests.helpers.fault_proxy import FaultProxy
from tests.helpers.paths import ROOT
from tests.helpers.processes import children_of
from tests.helpers.publishing import Bucket, MiB, Tree, connect, noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.servers import Servers

SMALL = Limits(sent_size=10 * MiB, unit_size=5 * MiB)
MODELS = S3Uri(BUCKET, "models")


@contextmanager
def threads(connections: Connections, count: int, _: Demand | None = None) -> Iterator[ThreadPoolExecutor]:
    """Threads that run units as processes do, with what the initializer of those hands over."""
    unit._process.clients.clear()
    unit.connect(connections)
    try:
        with ThreadPoolExecutor(count) as pool:
            yield pool
    finally:
        unit._process.clients.clear()
        unit._process.connections = None


def in_threads(count: int, connections: Connections) -> UnitPool:
    return UnitPool(partial(threads, connections, count), f"--workers {count}", count, reads_files=True)


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """A project whose units are made by threads of this process, and are small."""
    monkeypatch.setattr(unit_pool, "processes", in_threads)
    monkeypatch.setattr(publication, "plan_upload", partial(plan_upload, limits=SMALL))
    return Cloud(tmp_path, sandbox, monkeypatch)


@pytest.fixture
def store(cloud: Cloud) -> S3:
    return S3(session_of(cloud.servers).client("s3"))


def test_workers_stream_a_model_that_is_not_on_this_disk_and_leave_nothing_but_the_package(
    cloud: Cloud, store: S3
) -> None:
    project = cloud.project()
    project.upload(workers=2)
    assert "units, 2 workers: 1 round" in project.progress.text  # type: ignore[attr-defined]
    assert not list((cloud.root / "cache").rglob("*.safetensors"))
    assert project.verify_remote(deep=True)
    assert not [each for each in store.list(MODELS) if "/upload/" in each.location.key]
    assert not list(store.uploads(MODELS))
    plan = project.plan("upload", workers=2)
    assert not any(action.runs for action in plan.actions)


def test_workers_of_this_machine_read_what_is_in_its_cache(cloud: Cloud) -> None:
    cloud.project().build("download")
    project = cloud.project()
    project.upload(workers=2)
    assert not [each for each in cloud.moved if "/resolve/" in each]
    project.verify_remote(deep=True)


def test_any_executor_makes_what_is_published_by_its_own_environment_and_is_left_open(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unit, "_process", unit._Process())  # as one of a worker
    project, servers = cloud.project(), cloud.servers
    with ThreadPoolExecutor(2) as executor, pytest.raises(UserError, match="no AWS credentials"):
        project.upload(workers=executor)
    monkeypatch.setattr(unit, "_process", unit._Process())
    keys = {"AWS_ACCESS_KEY_ID": servers.access_key, "AWS_SECRET_ACCESS_KEY": servers.secret_key}
    own = {**keys, "AWS_ENDPOINT_URL": servers.aws_url, "HF_ENDPOINT": servers.hub_url, "HF_TOKEN": servers.hf_token}
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    with ThreadPoolExecutor(2) as executor:
        project.upload(workers=executor)
        assert executor.submit(len, "ab").result() == 2
    assert "2 units" in project.progress.text  # type: ignore[attr-defined]
    assert not list((cloud.root / "cache").rglob("*.safetensors"))
    assert project.verify_remote(deep=True)


def test_an_edit_of_the_code_needs_no_worker(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.project().upload(workers=2)
    code = cloud.root / "inference_code" / "svd" / "inference.py"
    code.write_text(code.read_text() + "\n# edited\n")

    def unwanted(count: int, _connections: Connections) -> UnitPool:
        def opened(_: Demand) -> Any:
            raise AssertionError

        return UnitPool(opened, "--workers", count)

    monkeypatch.setattr(unit_pool, "processes", unwanted)
    project = cloud.project()
    built = project.upload(workers=2)
    assert sum(action.send for action in built.actions) < MiB
    project.verify_remote(deep=True)


def test_a_flipped_bit_at_the_hub_publishes_nothing(cloud: Cloud, store: S3) -> None:
    project = cloud.project()
    cloud.servers.faults.corrupt("*/unet/*.safetensors", at=100_000)
    with pytest.raises(IntegrityError, match="SHA-256"):
        project.upload(workers=2)
    assert not list(store.uploads(MODELS))
    assert not [each for each in store.list(MODELS) if each.location.key.endswith("model.tar.gz")]


def test_credentials_that_only_a_worker_lacks_keep_the_upload_and_the_next_run_continues_it(
    cloud: Cloud, store: S3, monkeypatch: pytest.MonkeyPatch
) -> None:
    def locked_out(count: int, connections: Connections) -> UnitPool:
        return in_threads(count, replace(connections, aws=replace(connections.aws, secret_key="expired")))

    monkeypatch.setattr(unit_pool, "processes", locked_out)
    with pytest.raises(UserError) as caught:
        cloud.project().upload(workers=2)
    assert any("in the worker" in line for line in caught.value.details)
    (kept,) = store.uploads(MODELS)
    monkeypatch.setattr(unit_pool, "processes", in_threads)
    project = cloud.project()
    project.upload(workers=2)
    project.verify_remote(deep=True)
    assert store.parts(kept) is None
    assert not list(store.uploads(MODELS))


def test_a_worker_of_another_version_is_told_with_both(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_context, "__version__", "9.9.9")
    with pytest.raises(UserError, match=r"the worker has sagepack .*, the client 9\.9\.9") as caught:
        cloud.project().upload(workers=2)
    assert "same version" in str(caught.value.fix)


def test_no_secret_is_in_what_travels_or_stays_in_s3(cloud: Cloud, store: S3, monkeypatch: pytest.MonkeyPatch) -> None:
    travelled: list[str] = []
    make = unit.unit

    def overheard(text: str) -> str:
        answer = make(text)
        travelled.extend((text, answer))
        return answer

    monkeypatch.setattr(unit, "unit", overheard)
    monkeypatch.setattr(S3, "complete", lambda *_args: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        cloud.project().upload(workers=2)
    notes = [store.read(each.location) or b"" for each in store.list(MODELS) if "/upload/" in each.location.key]
    assert len(notes) == len(travelled) // 2 + 2  # a record for each unit, the name of the upload, and the checksums
    for secret in (cloud.servers.secret_key, cloud.servers.access_key, cloud.servers.hf_token):
        assert secret not in "".join(travelled)
        assert not any(secret.encode() in note for note in notes)


def test_the_large_files_of_a_prefix_are_made_by_workers(sandbox: Servers, tmp_path: Path) -> None:
    files = {
        "a.bin": noise(11 * MiB, 1),
        "b.bin": noise(12 * MiB + 5, 2),
        "small.json": b"{}",
        "code/inference.py": b"\n",
    }
    tree = Tree(tmp_path / "tree", files)
    bucket = Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")
    connections = Connections(AwsConnection("us-east-1", None, sandbox.aws_url, sandbox.access_key, sandbox.secret_key))
    paths = {m.digest: tree.folder / m.path for m in tree.manifest.members if m.path.endswith(".bin")}
    services = Services(region="us-east-1", bucket=sandbox.bucket)
    units = UnitWorkers(partial(threads, connections, 2), unit.unit, services, {}, paths, 2)
    package = bucket.package(tree, layout="prefix")
    plan = plan_upload(
        observe(bucket.store, package, tree.manifest, limits=SMALL), tree.manifest, SMALL, units.readable
    )
    published = bucket.publish(tree, plan, units=units)
    assert published.sent_bytes == sum(map(len, files.values()))
    assert {path: bucket.get(package.model_uri.child(path)) for path in files} == files
    assert not list(bucket.store.uploads(bucket.target))
    assert not [key for key in bucket.listing() if "/upload/" in key]


def published(sandbox: Servers, proxy: FaultProxy, tree: Tree, journals: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.helpers.publish_process", proxy.url, sandbox.bucket]
    command += [str(tree.folder), str(journals), "2"]
    keys = {"AWS_ACCESS_KEY_ID": sandbox.access_key, "AWS_SECRET_ACCESS_KEY": sandbox.secret_key}
    return subprocess.Popen(command, cwd=ROOT, env={**os.environ, **keys})


@pytest.mark.slow
def test_a_client_that_is_killed_with_its_processes_is_continued_on_another_machine(
    sandbox: Servers, tmp_path: Path
) -> None:
    tree = Tree(
        tmp_path / "tree",
        {**{f"{n}.bin": noise(12 * MiB + n, n) for n in range(5)}, "code/inference.py": b"pass\n"},
    )
    bucket = Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")
    with FaultProxy(sandbox.aws_url, rate=40e6) as proxy:
        with published(sandbox, proxy, tree, tmp_path / "one") as process:
            while sum("partNumber" in each.line for each in list(proxy.exchanges)) < 5:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.wait(60)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline and (before := len(proxy.exchanges)) >= 0:
            time.sleep(1)  # the processes end with their parent
            if len(proxy.exchanges) == before:
                break
        (upload,) = bucket.store.uploads(bucket.target)
        there = sum(part.size for part in bucket.store.parts(upload) or ())
        assert 0 < there < tree.layout.size
        first = proxy.up
        with published(sandbox, proxy, tree, tmp_path / "two") as process:
            assert process.wait(120) == 0
        assert proxy.up - first <= tree.layout.size - there + MiB
    assert bucket.archive(tree) == tree.build()
    assert not list(bucket.store.uploads(bucket.target))
    assert not [key for key in bucket.listing() if "/upload/" in key]


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """The processes of a pool: of those that a process has begun, the ones that run units."""
    children = children_of(process.pid)
    return [child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="only Linux lists the children of a process")
def test_a_killed_worker_process_is_replaced_and_the_command_ends_well(sandbox: Servers, tmp_path: Path) -> None:
    tree = Tree(
        tmp_path / "tree",
        {**{f"{n}.bin": noise(12 * MiB + n, n) for n in range(4)}, "code/inference.py": b"pass\n"},
    )
    bucket = Bucket(connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals")
    with FaultProxy(sandbox.aws_url, rate=40e6) as proxy, published(sandbox, proxy, tree, tmp_path / "one") as process:
        while sum("partNumber" in each.line for each in list(proxy.exchanges)) < 2:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(workers_of(process)[0], signal.SIGKILL)
        assert process.wait(120) == 0
    assert bucket.archive(tree) == tree.build()
    assert not list(bucket.store.uploads(bucket.target))
    assert not [key for key in bucket.listing() if "/upload/" in key]
