"""The minimal IAM policies for `--remote`: of its caller, and of the job's role. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sagepack.aws.iam_policy import Arns, Statement, document, literal, merged, statement
from sagepack.aws.logs import PROCESSING_JOBS
from sagepack.aws.s3 import S3Uri
from sagepack.deploy.iam_policy import NETWORK, PULL, SAGEMAKER
from sagepack.engine.remote.job import name_prefix, required
from sagepack.publish.iam_policy import publish_policy
from sagepack.publish.keys import remote_uri
from sagepack.spec import images

if TYPE_CHECKING:
    from sagepack.spec.model import Remote, Spec

_IMAGE = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.[^/]+/(?P<repository>[^:@]+).*")


def remote_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever publishes with `--remote`, beside that of `plan`: start the job, see its log, stop it.

    Raises:
        UserError: the spec has no `remote`.
    """
    job, arns, target = required(spec), _arns(spec), S3Uri.parse(spec.artifact.target)
    actions = [f"sagemaker:{verb}ProcessingJob" for verb in ("Create", "Describe", "Stop")]
    jobs = arns.of("sagemaker", f"processing-job/{name_prefix(spec)}*")
    tags = ["s3:PutObjectTagging"] if spec.artifact.tags else []
    return document(
        [
            statement("Job", actions, [jobs]),
            statement("PassRole", ["iam:PassRole"], [job.role], {"StringEquals": {"iam:PassedToService": SAGEMAKER}}),
            statement("Input", ["s3:PutObject", *tags], arns.objects(remote_uri(target, spec.name), "*")),
            statement("Log", ["logs:FilterLogEvents"], [arns.of("logs", f"log-group:{PROCESSING_JOBS}:*")]),
            statement("LookAtRole", ["iam:GetRole", "iam:SimulatePrincipalPolicy"], [job.role]),
            *_encryption(arns, spec),
        ]
    )


def remote_execution_policy(spec: Spec) -> dict[str, Any]:
    """The permissions of the job's role: what publishing needs, and what SageMaker needs to run the job in its name.

    Raises:
        UserError: the spec has no `remote`.
    """
    job, arns, target = required(spec), _arns(spec), S3Uri.parse(spec.artifact.target)
    group = arns.of("logs", f"log-group:{PROCESSING_JOBS}")
    log = [f"logs:{name}" for name in ("CreateLogGroup", "CreateLogStream", "DescribeLogStreams", "PutLogEvents")]
    return document(
        merged(
            [
                *publish_policy(spec)["Statement"],
                # The job removes what it started from.
                statement("Input", ["s3:DeleteObject"], arns.objects(remote_uri(target, spec.name), "*")),
                *([statement("Token", ["secretsmanager:GetSecretValue"], [_secret(job)])] if job.token_secret else []),
                statement("Pull", PULL, [_repository(arns, spec, job)]),
                # These two have no resources.
                statement("Login", ["ecr:GetAuthorizationToken"], ["*"]),
                statement("Metrics", ["cloudwatch:PutMetricData"], ["*"]),
                statement("Log", log, [group, f"{group}:*"]),
                *([statement("Network", NETWORK, ["*"])] if job.vpc else []),
            ]
        )
    )


def _encryption(arns: Arns, spec: Spec) -> list[Statement]:
    key = spec.artifact.kms_key_id if spec.artifact.sse == "aws:kms" else None
    return [arns.key("Encrypt", ["kms:GenerateDataKey"], key)] if key else []


def _secret(job: Remote) -> str:
    return literal(job.token_secret or "")


def _repository(arns: Arns, spec: Spec, job: Remote) -> str:
    """The repository of the image in which the job runs."""
    own = _IMAGE.fullmatch(job.image or "")
    if own:
        return arns.of("ecr", f"repository/{own['repository']}", own["account"])
    registry = images.registry(spec.aws.region, spec.image.account)
    return arns.of("ecr", f"repository/{spec.image.repository}", registry.partition(".")[0])


def _arns(spec: Spec) -> Arns:
    return Arns(images.partition(spec.aws.region), spec.aws.region, spec.aws.account)
