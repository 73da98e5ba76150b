"""SageMaker Processing, whose jobs in moto have no process: here each is one, on this machine, with a role of its own.

A model of AWS, not evidence about it. A container is a process of this Python in a folder of its own; paths below /opt/ml, which
cannot be made here, are those of that folder. Its requests are signed with keys of a session of the job's role, and allowed by the
inline policies of that role alone. Its output goes to CloudWatch Logs.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import moto_state, quotas
from sagepack.sandbox.aws.hosting_rules import arn_of, check_name, check_role, invalid
from sagepack.sandbox.aws.wsgi import AwsError
from sagepack.sandbox.identity import Credentials
from sagepack.serving import environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.aws.clock import Clock
    from sagepack.sandbox.aws.wsgi import JsonObject

OPT = "/opt/ml"
LOG_GROUP = "/aws/sagemaker/ProcessingJobs"
_EXIT_MESSAGE = 1024  # characters of /opt/ml/output/message (developer guide, "byoc-metadata")
_STOP_SECONDS = 5.0  # between SIGTERM and SIGKILL; 120 in AWS
_ENDED = {"Completed", "Failed", "Stopped"}


@dataclass(frozen=True)
class RoleSession:
    """Temporary credentials of a role."""

    role: str
    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)

    @classmethod
    def of(cls, role: str) -> RoleSession:
        """New ones."""
        made = Credentials.random()
        return cls(role, f"ASIA{made.access_key[4:]}", made.secret_key, secrets.token_urlsafe(64))


@dataclass
class Job:
    """A job.

    Attributes:
        request: of CreateProcessingJob.
        region: its region.
        created: when, by the clock.
        session: the credentials of its container.
        status, reason, message: as DescribeProcessingJob has them.
        process: its container, once it runs.
        thread: what runs it, and removes its folder at the end.
    """

    request: JsonObject
    region: str
    created: float
    session: RoleSession
    status: str = "InProgress"
    reason: str | None = None
    message: str | None = None
    process: subprocess.Popen[str] | None = None
    thread: threading.Thread | None = None

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.request["ProcessingJobName"])

    def description(self) -> JsonObject:
        """The response of DescribeProcessingJob."""
        known = {"FailureReason": self.reason, "ExitMessage": self.message}
        return {
            **{key: value for key, value in self.request.items() if key != "Tags"},
            **{key: value for key, value in known.items() if value is not None},
            "ProcessingJobArn": arn_of(self.region, "processing-job", self.name),
            "ProcessingJobStatus": self.status,
            "CreationTime": self.created,
            "LastModifiedTime": self.created,
        }


class ProcessingJobs:
    """The jobs of all regions. Safe to use from several threads.

    Attributes:
        environment: variables of every container: where it reaches the services, which in AWS it knows without.
        run: runs the container of a job in a folder that stands for /opt/ml, and returns its exit code; tests replace it.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[tuple[str, str], Job] = {}
        self._lock = threading.RLock()
        self.environment: dict[str, str] = {}
        self.run: Callable[[Job, Path], int] = self._run
        self._operations = {
            "CreateProcessingJob": self._create,
            "DescribeProcessingJob": lambda region, body: self._find(region, body).description(),
            "StopProcessingJob": self._stop,
        }

    def knows(self, operation: str) -> bool:
        """Whether the operation is one of these."""
        return operation in self._operations

    def call(self, operation: str, region: str, body: JsonObject) -> JsonObject:
        """Execute an operation and return its response.

        Raises:
            AwsError: the response is an error.
        """
        with self._lock:
            return self._operations[operation](region, body)

    def session(self, access_key: str) -> RoleSession | None:
        """The session whose access key this is; one ends with its job."""
        with self._lock:
            live = (job.session for job in self._jobs.values() if job.status not in _ENDED)
            return next((each for each in live if each.access_key == access_key), None)

    def reset(self) -> None:
        """End the containers, remove their folders, and forget all jobs."""
        with self._lock:
            jobs = list(self._jobs.values())
            self._jobs.clear()
        threads = []
        for job in jobs:
            if job.process is not None and job.thread is not None and job.process.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(job.process.pid, signal.SIGKILL)
                threads.append(job.thread)
        for thread in threads:
            thread.join(_STOP_SECONDS)

    def _find(self, region: str, body: JsonObject) -> Job:
        found = self._jobs.get((region, body["ProcessingJobName"]))
        if found is None:
            raise invalid("Could not find requested job with name: " + body["ProcessingJobName"])
        return found

    def _create(self, region: str, body: JsonObject) -> JsonObject:
        name, role = check_name(body["ProcessingJobName"]), body["RoleArn"]
        if (region, name) in self._jobs:
            raise AwsError("ResourceInUse", f"Job name must be unique within an AWS account and region: {name}")
        check_role(role)
        kind = body["ProcessingResources"]["ClusterConfig"]["InstanceType"]
        running = [job for job in self._jobs.values() if job.region == region and job.status not in _ENDED]
        quotas.check_jobs(kind, len(running))
        job = Job(body, region, self._clock.now(), RoleSession.of(role))
        self._jobs[region, name] = job
        job.thread = threading.Thread(target=self._execute, args=(job,), name=name, daemon=True)
        job.thread.start()
        return {"ProcessingJobArn": arn_of(region, "processing-job", name)}

    def _stop(self, region: str, body: JsonObject) -> JsonObject:
        job = self._find(region, body)
        if job.status in _ENDED:
            raise invalid(f"The request was rejected because the processing job is in status {job.status}.")
        job.status = "Stopping"
        if job.process is not None:
            job.process.terminate()
            threading.Timer(_STOP_SECONDS, job.process.kill).start()
        return {}

    def _execute(self, job: Job) -> None:
        """Run a job to its end."""
        with tempfile.TemporaryDirectory(prefix="processing-") as name:
            folder = Path(name)
            if (reason := self._fetch(job, folder)) is None:
                code = self.run(job, folder)
                reason = f"AlgorithmError: , exit code: {code}" if code else None
            message = folder / "output" / "message"
            with self._lock:
                if message.is_file():
                    job.message = message.read_text(encoding="utf-8")[:_EXIT_MESSAGE]
                stopped = job.status == "Stopping"
                job.reason = None if stopped else reason
                job.status = "Stopped" if stopped else "Failed" if reason else "Completed"

    def _fetch(self, job: Job, folder: Path) -> str | None:
        """Write the inputs as SageMaker does in the name of the role; the FailureReason if it cannot."""
        image = job.request["AppSpecification"]["ImageUri"]
        if moto_state.image_digest(image, job.region) is None:
            return "ClientError: Cannot pull algorithm container. Either the image does not exist or its permissions are incorrect."
        for each in job.request.get("ProcessingInputs", ()):
            source = each["S3Input"]
            uri, target = source["S3Uri"], _mapped(source["LocalPath"], folder)
            bucket, key = moto_state.split_uri(uri)
            arn = f"arn:aws:s3:::{bucket}/{key}"
            for action, resource in (("s3:ListBucket", f"arn:aws:s3:::{bucket}"), ("s3:GetObject", f"{arn}any")):
                if not moto_state.role_allows(job.session.role, action, resource):
                    return f"ClientError: Data download failed: Access denied. {action} on {resource}"
            found = dict(moto_state.read_below(uri))
            if not found:
                return f"ClientError: No S3 objects found under S3 URL {uri} given in input data source."
            for name, data in found.items():
                path = Path(target) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        return None

    def _run(self, job: Job, folder: Path) -> int:
        """The container: a process, whose output goes to the log."""
        given = job.request["AppSpecification"]
        entrypoint: list[str] = given["ContainerEntrypoint"]
        arguments: list[str] = given.get("ContainerArguments", [])
        program, *words = entrypoint + arguments
        command = [sys.executable if program.startswith("python") else program]
        command += [_mapped(word, folder) for word in words]
        with self._lock:
            if job.status == "Stopping":
                return 143  # as after SIGTERM
            job.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                cwd=folder,
                env=self._environment(job, folder),
                start_new_session=True,
            )
        stream = f"{job.name}/algo-1-{int(job.created)}"
        with job.process as process:
            for line in process.stdout or ():
                moto_state.write_log(job.region, LOG_GROUP, stream, [line.rstrip("\n")])
            code = process.wait()
        return 128 - code if code < 0 else code  # a signal ended it; so a container tells it

    def _environment(self, job: Job, folder: Path) -> dict[str, str]:
        return {
            **environment.allowed(os.environ),
            "HOME": str(folder),
            "AWS_ACCESS_KEY_ID": job.session.access_key,
            "AWS_SECRET_ACCESS_KEY": job.session.secret_key,
            "AWS_SESSION_TOKEN": job.session.token,
            "AWS_REGION": job.region,
            "AWS_DEFAULT_REGION": job.region,
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.environment,
            **job.request.get("Environment", {}),
        }


def _mapped(path: str, folder: Path) -> str:
    """A path of the container on this machine."""
    return f"{folder}{path.removeprefix(OPT)}" if path.startswith(f"{OPT}/") else path
