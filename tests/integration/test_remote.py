"""Publishing by a job in the region, `--remote`: the same package, wherever its command ends, and no secret on the way."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import tarfile
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api import events
from sagepack.api.recording import Recorder
from sagepack.errors import IntegrityError, RemoteError, UserError
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.processing import LOG_GROUP
from sagepack.sandbox.faults import Fault
from tests.helpers import chains
from tests.helpers.cloud import Cloud
from tests.helpers.remote import ROLE, Region
from tests.helpers.signing import KeyPair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.sandbox.aws.processing import Job
    from sagepack.sandbox.servers import Servers


@pytest.fixture
def region(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    run = sandbox.aws.jobs.run
    yield Region(Cloud(tmp_path, sandbox, monkeypatch))
    sandbox.aws.jobs.run = run


def comparable(objects: dict[str, bytes]) -> dict[str, Any]:
    """The objects of a bucket without what differs whenever a package is published: the time, and S3's ETag of its parts."""
    found: dict[str, Any] = {}
    for key, data in objects.items():
        if "/releases/" in key:
            record = json.loads(data)
            found["release"] = {name: record[name] for name in ("uri", "manifest", "size", "checksums")}
        elif key.endswith("/index.json"):
            index = json.loads(data)
            del index["archive"]["etag"], index["sha256"]
            found[key] = index
        else:
            found[key] = data
    return found


def test_a_job_publishes_what_this_machine_would_and_a_second_run_starts_none(region: Region) -> None:
    region.run_here()
    project = region.project()
    project.upload(remote=True)
    assert "the container runs" in region.notes(project)
    assert [job["ProcessingJobStatus"] for job in region.jobs] == ["Completed"]
    by_job = comparable(region.objects())
    again = region.project().upload(remote=True)
    assert {action.status for action in again.actions} == {"skip"}
    assert len(region.jobs) == 1
    region.empty()
    region.project().upload()
    given = {key for key in by_job if "/remote/" in key}  # which a real container removes
    assert {key: by_job[key] for key in by_job.keys() - given} == comparable(region.objects())


@pytest.mark.slow
def test_a_real_process_does_it_with_the_permissions_that_policy_prints_and_leaves_no_token_anywhere(
    region: Region,
) -> None:
    ended = moved(region.project(), remote=True)
    assert ended.fetched == region.project().lock().size
    assert ended.fetched < (ended.sent or 0) < 1.01 * ended.fetched
    objects, token = region.objects(), region.cloud.servers.hf_token
    assert not any("/remote/" in key for key in objects)  # what it started from
    assert "10.4 MiB sent" in region.log()
    described = json.dumps(region.jobs, default=str)
    for text in (described, region.log(), *(data.decode("latin-1") for data in objects.values())):
        assert token not in text
    request = region.jobs[0]
    assert request["RoleArn"] == ROLE
    assert request["Environment"] == {}
    by_job = comparable(objects)
    region.empty()
    region.project().upload()
    assert by_job == comparable(region.objects())


def moved(project: Project, **how: Any) -> events.StepEnded:
    """What the event says that ends the step `upload`."""
    told: list[events.Event] = []
    project.progress = Recorder(project.progress, told.append)
    project.upload(**how)
    return next(event for event in told if isinstance(event, events.StepEnded) and event.step == "upload")


@pytest.mark.slow
def test_the_bytes_of_a_stream_are_told_whoever_moves_them(region: Region) -> None:
    region.run_here()
    size = region.project().lock().size
    region.project().build("checksum")
    action = region.project().plan("upload", stream=True).actions[-1]
    assert action.fetch == size
    expected = (action.fetch, action.send, action.copy)
    here = moved(region.project(), stream=True)
    assert (here.fetched, here.sent, here.copied) == expected
    region.empty()
    there = moved(region.project(), remote=True)
    assert (there.fetched, there.sent, there.copied) == expected


@pytest.mark.slow
def test_the_bytes_that_processes_stream_are_told(region: Region) -> None:
    ended = moved(region.project(), stream=True, workers=2)
    assert ended.fetched == region.project().lock().size


def test_what_travels_to_the_job_has_no_token_and_no_weights(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_" + "a" * 34)
    region.run_here()
    region.project().upload(remote=True)
    given = {key: data for key, data in region.objects().items() if "/remote/" in key}
    assert {key.rpartition("/")[2] for key in given} == {"start.py", "input.tar.gz"}
    assert sum(map(len, given.values())) < 3 << 20
    described = json.dumps(region.jobs, default=str)
    for text in (described, *(data.decode("latin-1") for data in given.values())):
        assert "hf_aaaa" not in text
        assert region.cloud.servers.hf_token not in text


@pytest.mark.slow
def test_the_same_input_has_the_same_name_whenever_it_is_made(region: Region) -> None:
    region.run_here()
    region.project().upload(remote=True)
    region.empty()
    region.project().upload(remote=True)
    first, second = (str(job["ProcessingJobName"]) for job in region.jobs)
    assert (first.removesuffix("-1"), second.removesuffix("-2")) == (second[:-2], first[:-2])
    assert len({json.dumps(job["ProcessingInputs"]) for job in region.jobs}) == 1


@pytest.mark.slow
def test_an_interrupted_command_leaves_the_job_and_the_same_command_follows_it(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    region.run_here(lambda _job: go_on.wait(60))
    first = region.project()
    with monkeypatch.context() as patch:
        patch.setattr("sagepack.engine.remote.publishing.WaiterConfig.of", interrupting)
        with pytest.raises(KeyboardInterrupt):
            first.upload(remote=True)
    (job,) = region.jobs
    assert f"stop-processing-job --region us-east-1 --processing-job-name {job['ProcessingJobName']}" in region.notes(
        first
    )
    go_on.set()
    second = region.project()
    second.upload(remote=True)
    assert f"following job {job['ProcessingJobName']}" in region.notes(second)
    assert len(region.jobs) == 1


def interrupting(_spec: Any) -> Any:
    """A waiter in whose first pause the user presses Ctrl-C."""
    from sagepack.deploy.waiter import WaiterConfig  # noqa: PLC0415 - the class, not what the patch made of its method

    def press(_seconds: float) -> None:
        raise KeyboardInterrupt

    return WaiterConfig(delay=0.02, sleep=press)


@pytest.mark.slow
def test_the_error_of_a_job_is_that_of_the_command_and_another_run_starts_another_job(region: Region) -> None:
    wrong = [IntegrityError("the file is not what the lock says", where="unet/config.json", fix="look at it")]

    def before(_job: Job) -> None:
        if wrong:
            raise wrong.pop()

    region.run_here(before)
    with pytest.raises(IntegrityError, match="the job failed: the file is not what the lock says") as caught:
        region.project().upload(remote=True)
    assert "unet/config.json" in caught.value.message
    assert caught.value.fix == "look at it"
    assert str(caught.value.where).startswith("processing job sagepack-svd-")
    region.project().upload(remote=True)
    assert [job["ProcessingJobStatus"] for job in region.jobs] == ["Failed", "Completed"]


def test_a_job_that_leaves_no_error_is_told_with_its_last_lines_and_sagemakers_reason(region: Region) -> None:
    def die(job: Job, _folder: Path) -> int:
        moto_state.write_log(job.region, LOG_GROUP, f"{job.name}/algo-1-1", ["Killed"])
        return 137

    region.cloud.servers.aws.jobs.run = die
    with pytest.raises(RemoteError, match="exit code: 137") as caught:
        region.project().upload(remote=True)
    assert caught.value.details == ("Killed",)
    assert "remote.instance_type" in str(caught.value.fix)


def test_workers_of_this_machine_have_no_part_in_a_job(region: Region) -> None:
    with pytest.raises(UserError, match="the job has workers of its own") as caught:
        region.project().upload(remote=True, workers=2)
    assert "leave out --workers" in str(caught.value.fix)
    assert not region.jobs


@pytest.mark.slow
def test_a_job_that_was_stopped_says_so(region: Region) -> None:
    def before(job: Job) -> None:
        name = {"ProcessingJobName": job.name}
        region.aws.client("sagemaker").stop_processing_job(**name)

    region.run_here(before)
    with pytest.raises(UserError, match="the job was stopped") as caught:
        region.project().upload(remote=True)
    assert "starts another job" in str(caught.value.fix)


@pytest.mark.slow
def test_a_key_of_this_machine_signs_what_the_job_has_published_and_stays_here(region: Region, tmp_path: Path) -> None:
    private, public = KeyPair.of("remote").write(tmp_path / "config" / "keys")
    sets = (f"trust.sign=file:{private}", f"trust.verify=[{public.relative_to(tmp_path)}]")
    region.run_here()
    region.project(*sets).upload(remote=True)
    objects = region.objects()
    assert {"model.sig", "release.sig"} <= {key.rpartition("/")[2] for key in objects}
    (given,) = [gzip.decompress(data) for key, data in objects.items() if key.endswith("/input.tar.gz")]
    assert public.read_bytes() in given
    assert private.read_bytes() not in given
    assert region.project(*sets).verify_remote().signature


def test_where_identities_of_sigstore_count_no_job_is_started(region: Region) -> None:
    with pytest.raises(UserError, match=r"a@acme\.com .* is an identity of Sigstore"):
        region.project("trust.verify=['sigstore:a@acme.com https://accounts.google.com']").upload(remote=True)
    assert region.jobs == []


@pytest.mark.slow
def test_a_job_signs_and_verifies_with_certificates_and_installs_what_that_takes_only_then(
    region: Region, tmp_path: Path
) -> None:
    def installs() -> bool:
        """Whether the last job was given a list with the package for certificates."""
        (given,) = [data for key, data in region.objects().items() if key.endswith("/input.tar.gz")]
        with tarfile.open(fileobj=io.BytesIO(given)) as archive:
            listed = archive.extractfile("requirements.txt")
            return listed is not None and b"\ncryptography==" in listed.read()

    kms, root = region.aws.client("kms"), chains.root("Acme")
    key = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["Arn"]
    der = kms.get_public_key(KeyId=key)["PublicKey"]
    (tmp_path / "root.pem").write_bytes(root.pem)
    (tmp_path / "chain.pem").write_bytes(root.certify("kms", der))
    sets = (f"trust.sign=kms:{key}", "trust.certificates=chain.pem", "trust.verify=[root.pem]")
    region.allow(region.project(*sets).policy("remote-execution").document)
    region.run_here()
    region.project(*sets).upload(remote=True)
    assert installs()
    assert region.project("trust.verify=[root.pem]").verify_remote().signature
    region.empty()
    region.project().upload(remote=True)
    assert not installs()


@pytest.mark.slow
def test_a_deployment_goes_on_where_the_job_ends(region: Region) -> None:
    region.run_here()
    built = region.project().deploy(remote=True)
    assert built.endpoint is not None
    assert [job["ProcessingJobStatus"] for job in region.jobs] == ["Completed"]


def test_the_plan_says_what_would_be_started_and_what_it_costs(region: Region) -> None:
    region.project().lock()
    plan = region.project().plan("upload", remote=True)
    (upload,) = [action for action in plan.actions if action.step == "upload"]
    assert (
        upload.reasons[-1] == "a SageMaker Processing job publishes it: one ml.m5.xlarge, $0.23 an hour while it runs"
    )
    assert region.jobs == []


def test_without_a_declared_job_nothing_is_started_and_the_message_says_what_to_declare(region: Region) -> None:
    with pytest.raises(UserError, match="has no `remote`") as caught:
        region.cloud.project().upload(remote=True)
    assert "remote.role in config/env/cloud.yaml" in str(caught.value.fix)


def test_a_role_that_sagemaker_may_not_assume_is_told_before_anything_is_sent(region: Region) -> None:
    region.project().lock()
    with pytest.raises(UserError, match="there is no role") as caught:
        region.project("remote.role=arn:aws:iam::123456789012:role/nobody").upload(remote=True)
    assert "--for remote-execution" in str(caught.value.fix)
    assert region.objects() == {}


def test_a_quota_of_no_instance_is_told_before_anything_is_sent(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.project().lock()
    monkeypatch.setattr("sagepack.aws.quotas.processing_quota", lambda *_args, **_more: 0)
    with pytest.raises(UserError, match="for processing job usage' is 0"):
        region.project().upload(remote=True)
    assert region.objects() == {}


def test_doctor_looks_at_the_job_where_one_is_declared(region: Region) -> None:
    region.project().lock()
    statements = region.project().policy("remote-execution").document["Statement"]
    found = {check.id: check.verdict for check in region.project().doctor().checks}
    assert {name: found[name] for name in found if name.startswith("remote-")} == {
        "remote-role": "ok",
        "remote-role-permissions": "ok",
        "remote-quota": "ok",
    }
    region.allow({"Version": "2012-10-17", "Statement": [one for one in statements if one["Sid"] != "Token"]})
    checks = {check.id: check for check in region.project().doctor().checks}
    assert checks["remote-role-permissions"].verdict == "warning"
    assert "secretsmanager:GetSecretValue" in checks["remote-role-permissions"].detail


@pytest.mark.slow
def test_what_a_real_job_lacks_is_told_with_who_can_mend_it(region: Region) -> None:
    statements = region.project().policy("remote-execution").document["Statement"]
    without = [one for one in statements if one["Sid"] != "Token"]
    region.allow({"Version": "2012-10-17", "Statement": without})
    with pytest.raises(UserError, match="secretsmanager:GetSecretValue") as caught:
        region.project().upload(remote=True)
    assert "--for remote-execution" in str(caught.value.fix)

    region.allow({"Version": "2012-10-17", "Statement": statements})
    region.aws.client("secretsmanager").delete_secret(SecretId=region.secret, ForceDeleteWithoutRecovery=True)
    with pytest.raises(UserError, match="there is no such secret"):
        region.project().upload(remote=True)
    with pytest.raises(UserError, match="the model is gated, and there is no token") as caught:
        region.project("remote.token_secret=null").upload(remote=True)
    assert "remote.token_secret" in str(caught.value.fix)


@pytest.mark.slow
def test_a_killed_job_is_told_and_the_next_one_sends_only_what_s3_lacks(region: Region) -> None:
    region.project().lock()
    project = region.project()
    region.cloud.servers.aws.faults.add(
        Fault("latency", "*/model.tar.gz", "PUT", 1, 10)
    )  # of the part that comes first
    killer = threading.Thread(target=kill_after_a_part, args=(region,))
    killer.start()
    with pytest.raises(RemoteError, match="exit code: 137"):
        project.upload(remote=True)
    killer.join()
    region.project().upload(remote=True)  # without the fault
    assert [job["ProcessingJobStatus"] for job in region.jobs] == ["Failed", "Completed"]
    (sent,) = re.findall(r"upload: (.*) sent \(", region.log())
    assert sent != "10.4 MiB"  # which is all: one of its parts was there


def kill_after_a_part(region: Region) -> None:
    """Kill the container, all of its processes, as soon as S3 has a part of the archive."""
    s3, bucket = region.aws.client("s3"), region.cloud.servers.bucket
    for _ in range(400):
        uploads = s3.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
        keys = {"Bucket": bucket, "Key": uploads[0]["Key"], "UploadId": uploads[0]["UploadId"]} if uploads else {}
        if keys and s3.list_parts(**keys).get("Parts"):
            break
        time.sleep(0.05)
    (job,) = region.cloud.servers.aws.jobs._jobs.values()
    assert job.process is not None
    os.killpg(job.process.pid, signal.SIGKILL)
