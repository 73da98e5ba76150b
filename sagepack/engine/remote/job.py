"""A processing job as a value: its name, which follows from all that it does, and the request that starts it. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack.decoding import MalformedError, Value, decode_json
from sagepack.digest import fingerprint
from sagepack.errors import IntegrityError, RemoteError, SagepackError, UserError

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3Uri
    from sagepack.aws.session import Document
    from sagepack.package.lock import Lock
    from sagepack.spec.model import Remote, Spec

INPUT = "/opt/ml/processing/input/sagepack"
"""Where the container finds what the job starts from. Local paths of inputs begin with /opt/ml/processing/."""
VOLUME_GB = 30
"""The volume: nothing of the model is written to it, only the input and what pip installs."""
_LONGEST = 86_400  # seconds; also SageMaker's own default
_NAME = 36  # characters of the spec's name in that of the job, which has 63 at most
_EXIT_MESSAGE = (
    1024  # bytes of /opt/ml/output/message that DescribeProcessingJob returns (developer guide, "byoc-metadata")
)
_ERRORS: dict[int, type[SagepackError]] = {each.exit_code: each for each in (UserError, RemoteError, IntegrityError)}


def required(spec: Spec) -> Remote:
    """The declared job.

    Raises:
        UserError: there is none.
    """
    if spec.remote is None:
        fix = f"declare remote.role in config/env/{spec.env}.yaml: docs/how-to/remote.md has the steps, once"
        raise UserError("the spec has no `remote`, which says in which role the job runs", where="--remote", fix=fix)
    return spec.remote


def name_prefix(spec: Spec) -> str:
    """What the names of all jobs of a spec begin with."""
    return f"sagepack-{spec.name[:_NAME].rstrip('-')}-"


@dataclass(frozen=True)
class Job:
    """A job that publishes one package.

    Attributes:
        prefix: what its name begins with.
        request: the parameters of CreateProcessingJob, but for the name.
        package: what it publishes: the address of the model.
    """

    prefix: str
    request: Document
    package: str

    @classmethod
    def of(cls, spec: Spec, lock: Lock, package: str, source: S3Uri, environment: dict[str, str]) -> Job:
        """The job of a spec.

        Args:
            spec: its `remote` is used.
            lock: names the image.
            package: the address of the model.
            source: what the keys of the job's input begin with; it follows from the content of the input.
            environment: variables of the container. No secret is among them: whoever may describe the job sees them.

        Raises:
            UserError: the spec has no `remote`.
        """
        job = required(spec)
        network: Document = {"EnableNetworkIsolation": False}
        if job.vpc:
            network["VpcConfig"] = {
                "Subnets": list(job.vpc.subnets),
                "SecurityGroupIds": list(job.vpc.security_group_ids),
            }
        cluster = {"InstanceCount": 1, "InstanceType": job.instance_type, "VolumeSizeInGB": VOLUME_GB}
        files = {"S3Uri": f"{source}/", "LocalPath": INPUT, "S3DataType": "S3Prefix", "S3InputMode": "File"}
        request = {
            "ProcessingInputs": [{"InputName": "sagepack", "S3Input": files}],
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": _LONGEST},
            "AppSpecification": {
                "ImageUri": job.image or lock.image_uri,
                "ContainerEntrypoint": ["python3", f"{INPUT}/start.py"],
                "ContainerArguments": [str(source)],  # which the job removes at its end
            },
            "Environment": environment,
            "NetworkConfig": network,
            "RoleArn": job.role,
        }
        return cls(name_prefix(spec), request, package)

    def name(self, attempt: int) -> str:
        """Its name; names are never used again, so each attempt has one of its own."""
        return f"{self.prefix}{fingerprint({'package': self.package, 'request': self.request}).value[:12]}-{attempt}"


class Moved(Value, frozen=True):
    """The bytes that a job has moved.

    Attributes:
        fetched, sent, copied: as the event step-ended has them; None where nobody counted.
    """

    fetched: int | None = None
    sent: int | None = None
    copied: int | None = None

    def message(self) -> bytes:
        """What a job that has published leaves in `/opt/ml/output/message`."""
        return json.dumps(structs.asdict(self)).encode()

    @classmethod
    def of(cls, message: str | None) -> Moved:
        """What a job left in its exit message; nothing is known if it left something else."""
        try:
            return decode_json((message or "").encode(), cls)
        except MalformedError:
            return cls()


def exit_message(error: SagepackError) -> bytes:
    """An error for `/opt/ml/output/message`: what does not fit its kilobyte is left out, the longest texts first."""
    document = {key: value for key, value in error.to_json().items() if key in ("exit_code", "message", "where", "fix")}
    room = _EXIT_MESSAGE
    while len(data := json.dumps(document).encode()) > _EXIT_MESSAGE:
        room -= 64
        document = {key: value[:room] if isinstance(value, str) else value for key, value in document.items()}
    return data


def error_of(message: str | None) -> SagepackError | None:
    """The error that a job left in its exit message; None if it left none."""
    try:
        document = json.loads(message or "")
        kind = _ERRORS[document["exit_code"]]
        return kind(str(document["message"]), where=document["where"], fix=document["fix"])
    except (ValueError, KeyError, TypeError):
        return None
