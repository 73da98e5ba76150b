"""A project that publishes by jobs in the region: their role, the secret with the token, and a container that takes no time."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING, Any

from sagepack.api import events, remote_job
from sagepack.api.project import Project
from sagepack.api.recording import Recorder
from sagepack.errors import SagepackError
from sagepack.progress import Silent
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.processing import LOG_GROUP
from tests.helpers import deployments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.sandbox.aws.processing import Job
    from tests.helpers.cloud import Cloud

ROLE = "arn:aws:iam::123456789012:role/publisher"


class Region:
    """What `remote` of a spec needs in the account, made in the sandbox.

    Attributes:
        cloud: the project.
        aws: the session of its user.
        secret: ARN of the secret with the token.
        sets: the settings that declare the job.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.aws = cloud, deployments.session_of(cloud.servers)
        made = self.aws.client("secretsmanager").create_secret(Name="hub-token", SecretString=cloud.servers.hf_token)
        self.secret = str(made["ARN"])
        self.sets = (f"remote.role={ROLE}", f"remote.token_secret={self.secret}")
        trust = cloud.project().policy("trust").document
        self.aws.client("iam").create_role(RoleName="publisher", AssumeRolePolicyDocument=json.dumps(trust))
        self.allow(self.project().policy("remote-execution").document)

    def project(self, *sets: str) -> Project:
        """The project, which publishes by jobs."""
        return self.cloud.project(*self.sets, *sets)

    def notes(self, project: Project) -> str:
        """What a command has said."""
        return str(getattr(project.progress, "text", ""))

    def allow(self, document: dict[str, Any]) -> None:
        """Give the role of the job this policy, and no other."""
        policy = {"RoleName": "publisher", "PolicyName": "publish", "PolicyDocument": json.dumps(document)}
        self.aws.client("iam").put_role_policy(**policy)

    def objects(self) -> dict[str, bytes]:
        """Every object of the bucket."""
        s3, bucket = self.aws.client("s3"), self.cloud.servers.bucket
        found = s3.list_objects_v2(Bucket=bucket).get("Contents", [])
        return {each["Key"]: s3.get_object(Bucket=bucket, Key=each["Key"])["Body"].read() for each in found}

    def empty(self) -> None:
        """Delete every object of the bucket."""
        for key in self.objects():
            self.aws.client("s3").delete_object(Bucket=self.cloud.servers.bucket, Key=key)

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """The descriptions of all jobs."""
        return [job.description() for job in self.cloud.servers.aws.jobs._jobs.values()]

    def log(self) -> str:
        """What all jobs have written."""
        events = self.aws.client("logs").filter_log_events(logGroupName=LOG_GROUP)["events"]
        return "\n".join(event["message"] for event in events)

    def run_here(self, before: Callable[[Job], object] = lambda _job: None) -> None:
        """Let containers be threads of this process, which publish what they are given: Python takes a second to start."""

        def run(job: Job, folder: Path) -> int:
            moto_state.write_log(job.region, LOG_GROUP, f"{job.name}/algo-1-1", ["the container runs"])
            given = folder / "processing" / "input" / "sagepack" / "input.tar.gz"
            with tarfile.open(given) as archive:
                ours = [member for member in archive if member.name.startswith("project/")]
                archive.extractall(folder / "work", ours, filter="data")
            root = folder / "work" / "project"
            told = remote_job.read(root)
            try:
                before(job)
                happened: list[events.Event] = []
                progress = Recorder(Silent(), happened.append)
                Project(root, root / told.config, told.env, progress=progress).upload(locked=True, stream=True)
                (folder / "output").mkdir()
                (folder / "output" / "message").write_bytes(remote_job.moved(happened).message())
            except SagepackError as error:
                (folder / "output").mkdir()
                (folder / "output" / "message").write_bytes(remote_job.exit_message(error))
                return error.exit_code
            return 0

        self.cloud.servers.aws.jobs.run = run
