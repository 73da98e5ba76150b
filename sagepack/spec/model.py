"""The spec as values: the spec file merged with its overlays, and the defaults of what neither of them has.

Each field is a key of the spec, named like it. To add a key, add a field here and the key to `schemas/spec.schema.json`;
a value that AWS's own description of its services restricts gets the `member` of that description (see `keys.Facts`).
"""

import re
from typing import Annotated, Any

from msgspec import field

from sagepack.decoding import Value
from sagepack.spec.keys import NOT_A_KEY, Facts, keys_of

# A pinned revision: the full hash of a commit.
COMMIT = re.compile(r"[0-9a-f]{40}")
# The address of a Hub: no user name, no password, no query. As in the schema.
HUB_ADDRESS = r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?"

_VARIANT = ("sagemaker", "ProductionVariant")
_BLUE_GREEN = ("sagemaker", "DeploymentConfig", "BlueGreenUpdatePolicy")
_ROLLING = ("sagemaker", "DeploymentConfig", "RollingUpdatePolicy")
_POOL = ("sagemaker", "InstancePool")
_ASYNC = ("sagemaker", "AsyncInferenceConfig")
_VPC = ("sagemaker", "CreateModelInput", "VpcConfig")
_PROCESSING = ("sagemaker", "CreateProcessingJobRequest")
_TAG = (("sagemaker", "Tag", "Key"), ("sagemaker", "Tag", "Value"))
_ENVIRONMENT = ("sagemaker", "ContainerDefinition", "Environment")


def _without_final_slash(uri: str) -> str:
    return uri.rstrip("/")


def _without_final_slashes(uris: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(map(_without_final_slash, uris))


def _in_order(names: tuple[str, ...]) -> tuple[str, ...]:
    """In an order of their own, so that another order in the spec gives the same request."""
    return tuple(sorted(names))


class ModelSource(Value, frozen=True):
    """Which files of which repository of the Hugging Face Hub, or of which folder: `path`, or `id` and `revision`.

    Attributes:
        id: repository id, `owner/name`.
        revision: a commit of 40 hex digits; a branch or tag is accepted by `lock` alone.
        path: a folder with the model's files, relative to the project or absolute.
        include: glob patterns of paths to take; empty means the default choice for the repository's layout.
        exclude: glob patterns of paths to leave out.
        variant: weight variant such as `fp16`; None takes fp16 if every component has it, else full precision.
    """

    id: str | None = None
    revision: str | None = None
    path: str | None = None
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    variant: str | None = None


class HubSource(Value, frozen=True):
    """The Hub that holds the model's repository, if it is not the one of the environment (`HF_ENDPOINT`)."""

    endpoint: Annotated[str | None, Facts(normalize=_without_final_slash)] = None


class Code(Value, frozen=True):
    """The inference code, which becomes `code/` in the package.

    Attributes:
        path: folder with the program, relative to the project.
        shared: folders with files that several programs share; they go into `code/` as well.
        requirements: packages that are not in the image; the lock has their versions and files.
        vendor: the files of the requirements are in the package, and the container needs no package index.
    """

    path: str
    shared: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    vendor: bool = False

    @property
    def folders(self) -> tuple[str, ...]:
        """All folders whose files go into `code/`."""
        return (self.path, *self.shared)


class Image(Value, frozen=True):
    """An AWS deep learning container image, by tag; the lock adds the digest.

    Attributes:
        account: registry account; None means the one AWS documents for the region.
    """

    repository: str
    tag: str
    account: str | None = None


class Aws(Value, frozen=True):
    """Where things are deployed: account, region, execution role, and the AWS profile to use."""

    account: str
    region: str
    role: Annotated[str, Facts(member=("sagemaker", "CreateModelInput", "ExecutionRoleArn"))]
    profile: str | None = None


class Artifact(Value, frozen=True):
    """The published form of a package.

    Attributes:
        target: `s3://bucket/prefix` under which every package gets a key of its own.
        layout: `archive` (one model.tar.gz) or `prefix` (uncompressed objects under an S3 prefix).
        reuse_from: further `s3://bucket/prefix` targets to copy contents from.
        sse: None (the bucket's default), `AES256` or `aws:kms`; with `kms_key_id` for the latter.
        expected_bucket_owner: account the bucket must belong to.
        storage_class: S3 storage class of what is published; None means STANDARD.
        tags: object tags.
    """

    target: Annotated[
        str, Facts(member=("sagemaker", "ContainerDefinition", "ModelDataUrl"), normalize=_without_final_slash)
    ]
    layout: str = "archive"
    reuse_from: Annotated[tuple[str, ...], Facts(normalize=_without_final_slashes)] = ()
    sse: Annotated[str | None, Facts(member=("s3", "PutObjectRequest", "ServerSideEncryption"))] = None
    kms_key_id: Annotated[str | None, Facts(member=("sagemaker", "CreateEndpointConfigInput", "KmsKeyId"))] = None
    expected_bucket_owner: str | None = None
    storage_class: Annotated[str | None, Facts(member=("s3", "PutObjectRequest", "StorageClass"))] = None
    # S3's description sets no bounds for tags; its user guide has those of every service's tags.
    tags: Annotated[dict[str, str], Facts(entries=_TAG)] = field(default_factory=dict)


class AsyncInference(Value, frozen=True):
    """Asynchronous inference, as in AsyncInferenceConfig of SageMaker's API reference.

    Results and failures go next to the target by default, never under it: what is under the target belongs to publishing.
    """

    s3_output_path: Annotated[
        str, Facts(member=(*_ASYNC, "OutputConfig", "S3OutputPath"), default="s3://{bucket}/async/{endpoint}/output/")
    ]
    s3_failure_path: Annotated[
        str, Facts(member=(*_ASYNC, "OutputConfig", "S3FailurePath"), default="s3://{bucket}/async/{endpoint}/failure/")
    ]
    max_concurrent_invocations_per_instance: Annotated[
        int, Facts(member=(*_ASYNC, "ClientConfig", "MaxConcurrentInvocationsPerInstance"))
    ] = 1
    success_topic: Annotated[
        str | None, Facts(member=(*_ASYNC, "OutputConfig", "NotificationConfig", "SuccessTopic"))
    ] = None
    error_topic: Annotated[str | None, Facts(member=(*_ASYNC, "OutputConfig", "NotificationConfig", "ErrorTopic"))] = (
        None
    )
    kms_key_id: Annotated[str | None, Facts(member=(*_ASYNC, "OutputConfig", "KmsKeyId"))] = None


class ScheduledBounds(Value, frozen=True):
    """A change of the bounds of automatic scaling at set times; a bound that is None stays as it is.

    Attributes:
        at: when: `cron(...)`, `at(...)` or `rate(...)`, as `schedules.parse` reads it.
        timezone: IANA name of the time zone of `at`.
        min_capacity, max_capacity: the bounds from then on.
    """

    at: str
    timezone: str = "UTC"
    min_capacity: int | None = None
    max_capacity: int | None = None


class Scaling(Value, frozen=True):
    """Bounds and targets of Application Auto Scaling; `min_capacity` 0 lets the endpoint sleep.

    Attributes:
        schedule: changes of the bounds at set times.
    """

    min_capacity: int
    max_capacity: int
    target_backlog_per_instance: float = 5.0
    scale_in_cooldown: int = 300
    scale_out_cooldown: int = 300
    schedule: tuple[ScheduledBounds, ...] = ()

    @property
    def lower_bounds(self) -> set[int]:
        """The bounds below that may hold: at first, and at some time of the schedule."""
        return {self.min_capacity, *(each.min_capacity for each in self.schedule if each.min_capacity is not None)}

    @property
    def upper_bounds(self) -> set[int]:
        """The bounds above, likewise."""
        return {self.max_capacity, *(each.max_capacity for each in self.schedule if each.max_capacity is not None)}

    @property
    def may_sleep(self) -> bool:
        """Whether there are times at which the endpoint may have no instance."""
        return 0 in self.lower_bounds


class Vpc(Value, frozen=True):
    """The subnets of a VPC in which the containers run, and their security groups; of one VPC, in the endpoint's region."""

    subnets: Annotated[tuple[str, ...], Facts(member=(*_VPC, "Subnets"), normalize=_in_order)]
    security_group_ids: Annotated[tuple[str, ...], Facts(member=(*_VPC, "SecurityGroupIds"), normalize=_in_order)]


class Alarms(Value, frozen=True):
    """CloudWatch alarms on the metrics of an asynchronous endpoint; 0 means that there is no such alarm.

    Attributes:
        topics: ARNs of the SNS topics that are told when an alarm goes off, and when it ends.
        failures: failed requests within `period`.
        expired_requests: requests within `period` that no instance took in time.
        age_of_oldest_request: seconds for which the oldest request has waited.
        backlog: requests that wait or are being answered, on average over `period`.
        no_capacity: seconds for which requests wait and no instance is there.
        period: seconds over which the first two are counted and the backlog is averaged.
    """

    topics: tuple[str, ...] = ()
    failures: int = 1
    expired_requests: int = 1
    age_of_oldest_request: int = 3600
    backlog: int = 100
    no_capacity: int = 1800
    period: int = 300


ALARM_KEYS = ("failures", "expired_requests", "age_of_oldest_request", "backlog", "no_capacity")
"""The keys of `endpoint.alarms` that declare an alarm, and by which `endpoint.update.rollback_alarms` names it."""


class BlueGreen(Value, frozen=True):
    """An update that starts a whole new fleet beside the old one, as in BlueGreenUpdatePolicy of SageMaker's API reference.

    Attributes:
        traffic: `all_at_once`, `canary` or `linear`.
        wait_interval_in_seconds: wait after each step of the traffic; see `Update.wait`.
        canary_size, linear_step_size: `50%` of the instances, or a number of instances.
        termination_wait_in_seconds: wait before the old fleet is stopped.
        maximum_execution_timeout_in_seconds: time after which SageMaker gives up.
    """

    traffic: str = "all_at_once"
    wait_interval_in_seconds: Annotated[
        int | None, Facts(member=(*_BLUE_GREEN, "TrafficRoutingConfiguration", "WaitIntervalInSeconds"))
    ] = None
    canary_size: Annotated[str | None, Facts(normalize=str)] = None
    linear_step_size: Annotated[str | None, Facts(normalize=str)] = None
    termination_wait_in_seconds: Annotated[int, Facts(member=(*_BLUE_GREEN, "TerminationWaitInSeconds"))] = 0
    maximum_execution_timeout_in_seconds: Annotated[
        int | None, Facts(member=(*_BLUE_GREEN, "MaximumExecutionTimeoutInSeconds"))
    ] = None


class Rolling(Value, frozen=True):
    """An update that replaces instances batch by batch, as in RollingUpdatePolicy of SageMaker's API reference."""

    maximum_batch_size: Annotated[str, Facts(normalize=str)] = "50%"
    wait_interval_in_seconds: Annotated[int | None, Facts(member=(*_ROLLING, "WaitIntervalInSeconds"))] = None
    rollback_maximum_batch_size: Annotated[str | None, Facts(normalize=str)] = None
    maximum_execution_timeout_in_seconds: Annotated[
        int | None, Facts(member=(*_ROLLING, "MaximumExecutionTimeoutInSeconds"))
    ] = None


class Update(Value, frozen=True):
    """How an update is rolled out: `blue_green` unless `rolling` is there.

    Attributes:
        rollback_alarms: alarms that roll the update back: keys of `endpoint.alarms`, or names of other alarms in CloudWatch.
    """

    blue_green: BlueGreen | None = None
    rolling: Rolling | None = None
    rollback_alarms: tuple[str, ...] = ()

    @property
    def policy(self) -> BlueGreen | Rolling:
        """The one that holds."""
        return self.rolling or self.blue_green or BlueGreen()

    @property
    def wait(self) -> int:
        """Seconds to wait after each step; without alarms there is nothing to wait for."""
        declared = self.policy.wait_interval_in_seconds
        return declared if declared is not None else DEFAULT_WAIT if self.rollback_alarms else 0


DEFAULT_WAIT = 600
"""Seconds for which an update with roll-back alarms waits after each step."""


class InstancePool(Value, frozen=True):
    """Instances of one of several types of the variant; those of the lowest `priority` are tried first."""

    instance_type: Annotated[str, Facts(member=(*_POOL, "InstanceType"))]
    priority: Annotated[int, Facts(member=(*_POOL, "Priority"))]


class Endpoint(Value, frozen=True):
    """The endpoint and its one production variant. Names follow SageMaker's API; time-outs are in seconds.

    Attributes:
        instance_type: type of all instances; None where `instance_pools` has several.
    """

    name: Annotated[str, Facts(member=("sagemaker", "CreateEndpointInput", "EndpointName"))]
    asynchronous: Annotated[AsyncInference, Facts(name="async")]  # `async` is a word of Python
    instance_type: Annotated[str | None, Facts(member=(*_VARIANT, "InstanceType"))] = None
    instance_pools: Annotated[tuple[InstancePool, ...], Facts(member=(*_VARIANT, "InstancePools"))] = ()
    variant_instance_provision_timeout_in_seconds: Annotated[
        int | None, Facts(member=(*_VARIANT, "VariantInstanceProvisionTimeoutInSeconds"))
    ] = None
    initial_instance_count: Annotated[int, Facts(member=(*_VARIANT, "InitialInstanceCount"))] = 1
    model_data_download_timeout_in_seconds: Annotated[
        int, Facts(member=(*_VARIANT, "ModelDataDownloadTimeoutInSeconds"))
    ] = 1800
    container_startup_health_check_timeout_in_seconds: Annotated[
        int, Facts(member=(*_VARIANT, "ContainerStartupHealthCheckTimeoutInSeconds"))
    ] = 900
    volume_size_in_gb: Annotated[int | None, Facts(member=(*_VARIANT, "VolumeSizeInGB"))] = None
    inference_ami_version: Annotated[str | None, Facts(member=(*_VARIANT, "InferenceAmiVersion"))] = None
    kms_key_id: Annotated[str | None, Facts(member=("sagemaker", "CreateEndpointConfigInput", "KmsKeyId"))] = None
    enable_network_isolation: bool = False
    detailed_observability: Annotated[
        bool, Facts(member=("sagemaker", "CreateEndpointConfigInput", "MetricsConfig", "EnableDetailedObservability"))
    ] = False
    log_retention_in_days: Annotated[
        int | None, Facts(member=("logs", "PutRetentionPolicyRequest", "retentionInDays"))
    ] = None
    vpc: Vpc | None = None
    scaling: Scaling | None = None
    alarms: Alarms | None = None
    update: Update | None = None
    tags: Annotated[dict[str, str], Facts(member=("sagemaker", "CreateEndpointInput", "Tags"), entries=_TAG)] = field(
        default_factory=dict
    )

    @property
    def instance_types(self) -> tuple[str, ...]:
        """The types that instances may have, in the order in which they are tried."""
        if self.instance_type is not None:
            return (self.instance_type,)
        return tuple(pool.instance_type for pool in sorted(self.instance_pools, key=lambda pool: pool.priority))


class Expect(Value, frozen=True):
    """What the answer to the sample must be.

    Attributes:
        content_type: its media type, told by its bytes.
        schema: a JSON Schema, or the path of a file with one.
        min_size: least bytes.
        min_items: least elements of its list, or frames.
    """

    content_type: str | None = None
    schema: Any = None
    min_size: int | None = None
    min_items: int | None = None


class ClusterTls(Value, frozen=True):
    """The files with which this machine proves to the scheduler who it is, and by which it knows the scheduler.

    Attributes:
        ca: certificates of the authority that signed those of scheduler and workers (PEM).
        cert: this machine's certificate (PEM).
        key: its private key (PEM); None where it is in the file of the certificate.
    """

    ca: str
    cert: str
    key: str | None = None


class Cluster(Value, frozen=True):
    """A running Dask cluster, whose workers bring what is missing in S3 there from the Hub.

    Attributes:
        scheduler: its address, `tls://host:port` or `tcp://host:port`.
        connections: of each worker to the Hub; as many parts are in its memory.
        tls: files for a connection by TLS; None takes those of Dask's own configuration.
        insecure: whether the scheduler may be reached without TLS although it is on another machine.
    """

    scheduler: str
    connections: int = 4
    tls: ClusterTls | None = None
    insecure: bool = False


class Sample(Value, frozen=True):
    """A request to try the endpoint with: a JSON value `request`, or the path of a `file`."""

    request: Any = None
    file: str | None = None
    content_type: str = "application/json"
    accept: str = "application/json"
    expect: Expect | None = None


class Trust(Value, frozen=True):
    """Who vouches for what is published, whose word counts, and what a model's files may hold.

    Attributes:
        sign: the key that signs: `kms:` with a key of AWS KMS, `file:` with a path, or `env:` with a variable; `sigstore` signs without one, by the public instance, or
            by that of the file behind a colon; None signs nothing.
        certificates: file with the certificate of the key that signs, and those between it and one that verifies; None signs by key alone.
        verify: files of public keys, or of certificates below which signers are, or identities of Sigstore. If there are any, one of them must have signed whatever is deployed, promoted, rolled back to,
            or copied inside S3.
        publisher: files of public keys or certificates, or identities of Sigstore. If there are any, the model's repository must hold a `model.sig` of one of them, over every
            file that is locked.
        scan: what becomes of model files that could do harm: `strict` refuses them, `warn` reports them, `off` looks at none.
        allow: callables that pickles may name, as `module.name` or `module.*`, besides those that rebuild tensors.
        remote_code: `allow` lets configurations of the model name Python files of its own repository; `refuse` does not.
        licenses: the licences that a model may have; empty means any.
        sbom: the bill of materials beside a published package: `cyclonedx`, or `none`.
    """

    sign: str | None = None
    certificates: str | None = None
    verify: tuple[str, ...] = ()
    publisher: tuple[str, ...] = ()
    scan: str = "strict"
    allow: tuple[str, ...] = ()
    remote_code: str = "refuse"
    licenses: tuple[str, ...] = ()
    sbom: str = "cyclonedx"


class Remote(Value, frozen=True):
    """The SageMaker Processing job that publishes from the region (`--remote`). Names follow SageMaker's API.

    Attributes:
        role: the role of the job, which writes packages.
        instance_type: type of its one instance.
        image: the image in which this program runs; None takes the endpoint's own.
        token_secret: ARN of the secret in Secrets Manager that holds the token for the Hub; None sends no token.
        vpc: the VPC in which the job runs.
    """

    role: Annotated[str, Facts(member=(*_PROCESSING, "RoleArn"))]
    instance_type: Annotated[
        str, Facts(member=(*_PROCESSING, "ProcessingResources", "ClusterConfig", "InstanceType"))
    ] = "ml.m5.xlarge"
    image: Annotated[str | None, Facts(member=(*_PROCESSING, "AppSpecification", "ImageUri"))] = None
    token_secret: str | None = None
    vpc: Vpc | None = None


class Spec(Value, frozen=True):
    """One model and everything that is declared about it, for one environment.

    Attributes:
        name: name of the model's packages.
        env: the environment: name of the overlay, which is no key of the spec.
        hub: where the model's repository is.
        environment: environment variables of the container.
        remote: the job that publishes from the region, for `--remote`.
        sample: a request to try the endpoint with.
        smoke: whether a deployment counts only when the sample was answered.
        cluster: whose workers publish; None publishes from this machine alone.
        not_secret: files of the code, and the sample, that are published although they look like secrets.
        trust: who signs, whose signatures count, and what the model's files may hold.
        sandbox: whether the environment is the embedded sandbox.
        protected: whether a person has to agree before the environment is changed.
    """

    name: str
    env: Annotated[str, NOT_A_KEY]
    model: ModelSource
    code: Code
    image: Image
    artifact: Artifact
    aws: Aws
    endpoint: Endpoint
    hub: HubSource | None = None
    environment: Annotated[
        dict[str, str], Facts(member=_ENVIRONMENT, entries=((*_ENVIRONMENT, "{key}"), (*_ENVIRONMENT, "{value}")))
    ] = field(default_factory=dict)
    remote: Remote | None = None
    sample: Sample | None = None
    smoke: bool = True
    not_secret: tuple[str, ...] = ()
    trust: Trust = field(default_factory=Trust)
    cluster: Cluster | None = None
    sandbox: bool = False
    protected: bool = False

    @property
    def hub_endpoint(self) -> str | None:
        """Address of the Hub that the spec names; None for the one of the environment, which the sandbox has too."""
        return self.hub.endpoint if self.hub and not self.sandbox else None


# Every key of a spec that holds a value, in the order above.
KEYS = tuple(keys_of(Spec))
