"""Failures that are known by the words of AWS or of the container: why, and what to do. From reference pages and reports of users.

`docs/failures.md` lists them by their ids, which `--json` shows.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class KnownFailure:
    """One kind of failure.

    Attributes:
        id: what it is called in `docs/failures.md` and by `--json`.
        pattern: regular expression that is found in the message.
        symptom: a message as it is seen.
        cause: why.
        fix: what to do; names in braces stand for groups of the pattern.
        user_can_fix: whether the user can fix it (`UserError`, exit code 1), or has to wait (`RemoteError`, exit code 3).
    """

    id: str
    pattern: str
    symptom: str
    cause: str
    fix: str
    user_can_fix: bool = True


OF_AWS = (
    KnownFailure(
        id="instance-quota",
        pattern=r"account-level service limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
        symptom=(
            "The account-level service limit 'ml.g5.2xlarge for endpoint usage' is 0 Instances, with current "
            "utilization of 0 Instances and a request delta of 1 Instances."
        ),
        cause=(
            "new accounts have a quota of 0 for most GPU instances; an update needs the instances of both fleets for "
            "a while"
        ),
        fix=(
            "request a higher quota '{quota}' in Service Quotas (an update needs twice the instances while both "
            "fleets run), or set another instance type; each type of endpoint.instance_pools needs a quota of its own"
        ),
    ),
    KnownFailure(
        id="no-capacity",
        pattern=r"InsufficientInstanceCapacity",
        symptom="Unable to provision requested ML compute capacity due to InsufficientInstanceCapacity error.",
        cause="AWS has no free instance of the type in the region now; no quota helps",
        fix=(
            "AWS has no free instance of this type in the region now: run the command again later, or name further types "
            "in endpoint.instance_pools, which are tried in turn; another endpoint.instance_type or aws.region may do, too"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="health-check",
        pattern=r"did not pass the ping health check",
        symptom=(
            "The primary container for production variant AllTraffic did not pass the ping health check. Please "
            "check CloudWatch logs for this endpoint."
        ),
        cause=(
            "the container did not begin to listen in time: mostly pip failed, or the time-out is too short for what "
            "it installs"
        ),
        fix=(
            "the container did not respond in time: read its log for a failed pip install or a crash, and raise "
            "endpoint.container_startup_health_check_timeout_in_seconds if it was still starting"
        ),
    ),
    KnownFailure(
        id="package-missing",
        pattern=r"Could not find model data",
        symptom="Could not find model data at s3://bucket/models/svd/0123456789abcdef/model.tar.gz.",
        cause="the package was deleted, or never published there",
        fix="the package is not at that URI any more: run `invoke upload`, which publishes what is missing",
    ),
    KnownFailure(
        id="package-not-readable",
        pattern=r"Could not access model data",
        symptom="Could not access model data at s3://bucket/models/svd/0123456789abcdef/model.tar.gz.",
        cause="it is `aws.role` that reads the package, not you; or the bucket is in another region",
        fix=(
            "give aws.role what `invoke policy --for execution` prints (s3:GetObject on the package, s3:ListBucket "
            "on its bucket, kms:Decrypt if it is encrypted with a key), and keep the bucket in the endpoint's region"
        ),
    ),
    KnownFailure(
        id="image-not-pulled",
        pattern=r"[Rr]ole .*cannot pull|does not grant ecr:GetDownloadUrlForLayer",
        symptom=(
            "Role arn:aws:iam::123456789012:role/x cannot pull 763104351884.dkr.ecr.us-east-1.amazonaws.com/x. "
            "Ensure that the role exists and the image was granted pull permission."
        ),
        cause="the role may not pull, or there is no such image in the endpoint's region",
        fix=(
            "check that aws.role exists and may pull (ecr:BatchGetImage, ecr:GetDownloadUrlForLayer, "
            "ecr:BatchCheckLayerAvailability, ecr:GetAuthorizationToken), and that the image is of the endpoint's "
            "region"
        ),
    ),
    KnownFailure(
        id="role-cannot-read-alarms",
        pattern=r"[Rr]ole.*cloudwatch:DescribeAlarms",
        symptom="Role arn:aws:iam::123456789012:role/x is not authorized to perform cloudwatch:DescribeAlarms",
        cause="it is `aws.role` that looks at the roll-back alarms during an update, not you",
        fix=(
            "allow aws.role cloudwatch:DescribeAlarms, which endpoint.update.rollback_alarms needs: `invoke policy --for "
            "execution` prints it"
        ),
    ),
    KnownFailure(
        id="no-way-to-s3",
        pattern=r"S3 VPC endpoint exists",
        symptom=(
            'Failed to download model data from URL "s3://bucket/models/svd/0123456789abcdef/model.tar.gz". Please ensure '
            "that an S3 VPC endpoint exists in route table or NAT gateway for the VPC mode and the URL is reachable from "
            "within the subnets provided."
        ),
        cause="instances read the package by the network of endpoint.vpc, which has no way to S3",
        fix=(
            "give the VPC of endpoint.vpc a gateway endpoint for S3, in the route tables of its subnets (it costs "
            "nothing), and let the security groups send HTTPS"
        ),
    ),
    KnownFailure(
        id="container-not-started",
        pattern=r"CannotStartContainerError",
        symptom=(
            "CannotStartContainerError. Please ensure the model container for variant AllTraffic starts correctly "
            "when invoked with 'docker run <image> serve'"
        ),
        cause="the image's CUDA is newer than the driver of the instance; no log is written",
        fix=(
            "the container did not start and wrote no log: the image's CUDA version (cuNNN in image.tag) does not fit "
            "the host's driver; set endpoint.inference_ami_version (al2-ami-sagemaker-inference-gpu-3-1 for CUDA 12, "
            "al2023-ami-sagemaker-inference-gpu-4-1 for CUDA 13), or another image or instance family"
        ),
    ),
    KnownFailure(
        id="archive-not-extracted",
        pattern=r"Failed to extract model data archive|model data archive is too large",
        symptom='Failed to extract model data archive from URL "s3://bucket/models/svd/0123456789abcdef/model.tar.gz"',
        cause="the archive and what comes out of it have to fit on the disk together",
        fix=(
            "the disk or the memory was too small to unpack the archive: set artifact.layout: prefix, or an instance "
            "type with a larger disk"
        ),
    ),
    KnownFailure(
        id="volume-size",
        pattern=r"VolumeSize parameter is not allowed",
        symptom="VolumeSize parameter is not allowed for the selected Instance type ml.g4dn.xlarge",
        cause="instances of this family have their own disks",
        fix="remove endpoint.volume_size_in_gb: instances of this family have their own NVMe disks",
    ),
    KnownFailure(
        id="role-not-assumed",
        pattern=r"Could not assume role|sagemaker\.amazonaws\.com.*assume|cannot be assumed",
        symptom=(
            "Could not assume role arn:aws:iam::123456789012:role/x. Please ensure that the role exists and allows "
            "principal 'sagemaker.amazonaws.com' to assume the role."
        ),
        cause="the role's trust policy does not name SageMaker, or the role is some seconds old",
        fix=(
            "let sagemaker.amazonaws.com assume aws.role (its trust policy, which `invoke policy --for trust` "
            "prints), and check the ARN; a role that is only some seconds old is not known everywhere yet: then run "
            "the command again"
        ),
    ),
    KnownFailure(
        id="pass-role",
        pattern=r"iam:PassRole",
        symptom=(
            "User: arn:aws:iam::123456789012:user/u is not authorized to perform: iam:PassRole on resource: "
            "arn:aws:iam::123456789012:role/x"
        ),
        cause="whoever deploys may not hand `aws.role` to SageMaker",
        fix="allow the caller iam:PassRole on aws.role with iam:PassedToService sagemaker.amazonaws.com",
    ),
    KnownFailure(
        id="deregister-target",
        pattern=r"application-autoscaling:DeregisterScalableTarget",
        symptom="it does not have application-autoscaling:DeregisterScalableTarget permission",
        cause="SageMaker deregisters the scaling of an endpoint that it deletes with the caller's permissions",
        fix="allow the caller application-autoscaling:DeregisterScalableTarget",
    ),
    KnownFailure(
        id="service-failed",
        pattern=r"Request to service failed",
        symptom="Request to service failed. If failure persists after retry, contact customer support.",
        cause="SageMaker's words for an instance that it could not start, some minutes after the request",
        fix=(
            "SageMaker found no free instance, or could not start it: run the command again later, or name further types in "
            "endpoint.instance_pools, which are tried in turn"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="kms-key",
        pattern=r"kms:|KMS\.",
        symptom="KMS.DisabledException: arn:aws:kms:us-east-1:123456789012:key/k is disabled",
        cause="the key is disabled, in another region, or its own policy does not allow the caller or the role",
        fix=(
            "allow the key's use in its key policy: kms:Decrypt for aws.role, kms:GenerateDataKey and kms:Decrypt "
            "for the caller, and kms:CreateGrant for both if it is endpoint.kms_key_id; the key must be enabled, and "
            "in the bucket's region"
        ),
    ),
)
MODEL_NOT_LOADED = KnownFailure(
    id="model-not-loaded",
    pattern=r"Model is not initialized, will try to load model again|^Prediction failed",
    symptom="Model is not initialized, will try to load model again.",
    cause=(
        "`model_fn` or the import of the handler raised; the image's server answers the health check "
        "nevertheless, and tries again with each request"
    ),
    fix="correct the handler: `invoke logs` has the traceback of model_fn",
    user_can_fix=False,
)
"""What the server says whatever the cause was, so any other failure that is known says more."""
# In what a container answers or writes to its log. Of another status than 400 to 499 the endpoint is at fault in any case.
OF_CONTAINERS = (
    KnownFailure(
        id="handler-not-found",
        pattern=r"define one of the following .* as env 'HF_TASK'|Task couldn't be inferenced",
        symptom="You need to define one of the following ['...'] as env 'HF_TASK'.",
        cause="the container found no `code/inference.py`, and started a pipeline of its own",
        fix=(
            "set code.path to the folder that has inference.py, and remove SAGEMAKER_PROGRAM from the environment if "
            "it names another file"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="module-missing",
        pattern=r"No module named '(?P<module>[^']+)'",
        symptom="No module named 'imageio'",
        cause="the image does not have what the handler imports, and `code.requirements` does not name it",
        fix="add what provides {module} to the file of code.requirements",
        user_can_fix=False,
    ),
    KnownFailure(
        id="requirements-not-installed",
        pattern=r"failed to install required packages|looks like a filename, but the file does not exist",
        symptom="failed to install required packages, exiting",
        cause=(
            "pip fails at each start of the container: a pin that does not exist for its Python, or no way to the "
            "package index"
        ),
        fix=(
            "correct the requirements; `invoke lock` resolves them for the image's Python, and an endpoint without "
            "internet needs them packed (code.vendor: true)"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="no-gpu",
        pattern=(
            r"Torch not compiled with CUDA enabled|Found no NVIDIA driver|No CUDA GPUs are available"
            r"|requires accelerator, but not found|CUDA device but torch\.cuda\.is_available\(\) is False"
        ),
        symptom="Torch not compiled with CUDA enabled",
        cause=(
            "the code wants a GPU, and torch sees none: `serve` and the sandbox have a CPU build of torch, whatever the "
            "image is; elsewhere it is a CPU image, or an instance without a GPU"
        ),
        fix=(
            'take a GPU only where there is one: "cuda" if torch.cuda.is_available() else "cpu"; then the code runs on '
            "this machine, and with the GPU on an instance that has one"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="gpu-memory",
        pattern=r"CUDA (?:error: )?out of memory|OutOfMemoryError|CUBLAS_STATUS_ALLOC_FAILED",
        symptom="CUDA out of memory. Tried to allocate 2.00 GiB",
        cause="the model, or what the first request left, does not fit the GPU; each worker holds a model of its own",
        fix=(
            "set SAGEMAKER_MODEL_SERVER_WORKERS to 1 and endpoint.async.max_concurrent_invocations_per_instance to "
            "1, load half precision (model.variant), or take an instance_type with more GPU memory"
        ),
        user_can_fix=False,
    ),
    KnownFailure(
        id="host-memory",
        pattern=r"\bMemoryError\b|[Cc]annot allocate memory|can't allocate memory|std::bad_alloc",
        symptom="RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to allocate 2147483648 bytes.",
        cause="the model, or what the first request left, does not fit the memory of the instance beside the GPU's",
        fix="free what a request leaves, or take an instance_type with more memory",
        user_can_fix=False,
    ),
    KnownFailure(
        id="answer-too-large",
        pattern=r"Message size exceed limit: (?P<size>\d+)",
        symptom="CorruptedFrameException: Message size exceed limit: 12000040",
        cause="the image's server ends the worker of an answer that is larger than its limit",
        fix="set MMS_MAX_RESPONSE_SIZE in the environment to {size} bytes or more, which this answer has",
        user_can_fix=False,
    ),
    KnownFailure(
        id="invocation-timeout",
        pattern=r"Prediction timeout|did not respond in (?:the )?given time",
        symptom="Prediction timeout",
        cause="the answer, or the load of the model, took longer than the server waits",
        fix="raise SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS in the environment; an invocation may take 3,600 seconds",
        user_can_fix=False,
    ),
    KnownFailure(
        id="worker-died",
        pattern=r"[Ww]orker died",
        symptom="Worker died.",
        cause=(
            "the process of the handler ended: no memory, a crash in a library, code that ends it (`sys.exit`), or an "
            "answer above MMS_MAX_RESPONSE_SIZE"
        ),
        fix="`invoke logs` has its last lines; raise MMS_MAX_RESPONSE_SIZE, or take an instance_type with more memory",
        user_can_fix=False,
    ),
    KnownFailure(
        id="hook-arguments",
        pattern=r"definition takes .* arguments? but .* (?:was|were) given|Cannot use transform_fn implementation in conjunction",
        symptom="predict_fn definition takes 2 or 3 arguments but 1 were given.",
        cause=(
            "a hook of the handler has another number of arguments than the image's server gives, or `transform_fn` "
            "stands beside those that it replaces"
        ),
        fix="correct the hook: docs/inference.md lists them all",
        user_can_fix=False,
    ),
    KnownFailure(
        id="media-type",
        pattern=r"Content type (?P<type>\S+) is not supported by this framework",
        symptom="Content type text/plain is not supported by this framework.",
        cause="the handler has no `input_fn` for a request, or no `output_fn` for an answer, of this media type",
        fix=(
            "send the request as application/json and ask for application/json (`--accept`, or sample.accept), or define "
            "input_fn or output_fn for {type} in the handler"
        ),
    ),
    KnownFailure(
        id="answer-not-json",
        pattern=r"Object of type (?P<type>\w+) is not JSON serializable",
        symptom="Object of type Image is not JSON serializable",
        cause="the handler returns something that JSON cannot hold, such as bytes, a picture or an object of a library",
        fix="return what JSON holds in place of {type} (bytes and pictures as base64), or encode the answer in output_fn",
        user_can_fix=False,
    ),
    KnownFailure(
        id="content-length",
        pattern=r"did not specify the required Content-Length header",
        symptom="The response from container primary did not specify the required Content-Length header",
        cause="a server of your own sends its answer in chunks",
        fix="let the server send the header Content-Length",
        user_can_fix=False,
    ),
    KnownFailure(
        id="disk-full",
        pattern=r"No space left on device",
        symptom="OSError: [Errno 28] No space left on device",
        cause="the handler wrote more than the disk of the instance holds",
        fix=(
            "remove what a request leaves, or raise endpoint.volume_size_in_gb or take an instance type with a "
            "larger disk"
        ),
        user_can_fix=False,
    ),
    MODEL_NOT_LOADED,
)


def find(message: str, failures: tuple[KnownFailure, ...]) -> KnownFailure | None:
    """The first of some failures whose words are in a message, with the pattern's groups filled in; None if there is none."""
    for failure in failures:
        if match := re.search(failure.pattern, message, re.DOTALL):
            return dataclasses.replace(failure, fix=failure.fix.format(**match.groupdict()))
    return None
