"""The minimal IAM policies for deploying an endpoint, for calling it, and for its execution role. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.iam_policy import Arns, Statement, document, literal, merged, statement
from sagepack.aws.logs import log_group
from sagepack.aws.s3 import S3Uri
from sagepack.deploy.alarm_names import NAME_PREFIX
from sagepack.deploy.deployment import Owner
from sagepack.deploy.predict import input_prefix
from sagepack.deploy.rollout import rollback_alarms
from sagepack.deploy.scaling import scaling_names
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.spec.model import AsyncInference, Spec

SAGEMAKER = "sagemaker.amazonaws.com"
"""The principal that assumes execution roles, in every partition."""
_SCALING_ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
_SCALING_PRINCIPAL = "sagemaker.application-autoscaling.amazonaws.com"
# SageMaker developer guide, "CreateModel API: Execution Role Permissions", for a model in a VPC.
NETWORK = (
    *("ec2:CreateNetworkInterface", "ec2:CreateNetworkInterfacePermission"),
    *("ec2:DeleteNetworkInterface", "ec2:DeleteNetworkInterfacePermission", "ec2:DescribeNetworkInterfaces"),
    *("ec2:DescribeVpcs", "ec2:DescribeDhcpOptions", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"),
)
_LOOK_AT_NETWORK = ("ec2:DescribeSubnets", "ec2:DescribeSecurityGroups", "ec2:DescribeVpcEndpoints")
PULL = ("ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer")

# Listing has no resource, and endpoints of others have any name.
_LOOK_AT_ENDPOINTS = (
    *("sagemaker:ListEndpoints", "sagemaker:ListEndpointConfigs", "sagemaker:ListModels"),
    *("sagemaker:DescribeEndpoint", "sagemaker:DescribeEndpointConfig"),
    *("sagemaker:ListInferenceComponents", "sagemaker:DescribeInferenceComponent"),
)


def deploy_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever deploys `spec` and destroys it again; publishing has a policy of its own.

    Where a smoke test is declared it includes what `predict_policy` allows.

    Application Auto Scaling acts for the caller, whose permissions on the endpoint and on alarms it checks first (its user
    guide, "Permissions validation for API calls on target resources"). The first registration of an endpoint in an account
    creates a service-linked role.

    Args:
        spec: its endpoint, image, account, region and role are used.
    """
    arns, owner = _arns(spec), Owner.of(spec)
    topics = sorted({*_topics(spec), *(spec.endpoint.alarms.topics if spec.endpoint.alarms else ())})
    tries = spec.smoke and spec.sample is not None
    statements = [
        _sagemaker_actions(arns, owner, invoke=tries),
        # `destroy` looks for other endpoints that use the same model: listing has no resource, and theirs have any name.
        statement(
            "LookAtAccount",
            [*_LOOK_AT_ENDPOINTS, "sagemaker:ListInferenceRouters", "sagemaker:DescribeInferenceRouter"],
            ["*"],
        ),
        # Reading prices and quotas has no resources.
        statement("Prices", ["pricing:GetProducts"], ["*"]),
        statement("Quota", ["servicequotas:GetServiceQuota", "servicequotas:ListServiceQuotas"], ["*"]),
        *([statement("LookAtNetwork", _LOOK_AT_NETWORK, ["*"])] if spec.endpoint.vpc else []),
        *_scaling(arns, owner.endpoint_name),
        statement("Role", ["iam:GetRole", "iam:SimulatePrincipalPolicy"], [spec.aws.role]),
        statement("PassRole", ["iam:PassRole"], [spec.aws.role], {"StringEquals": {"iam:PassedToService": SAGEMAKER}}),
        statement("Image", ["ecr:DescribeImages", "ecr:BatchGetImage"], [_repository(arns, spec)]),
        *_log(arns, spec),
        *_exchange_listings(arns, spec),
        *([statement("Topics", ["sns:GetTopicAttributes"], topics)] if topics else []),
        *_volume_grant(arns, spec),
        *(arns.key(f"LookAtKey{number}", ["kms:DescribeKey"], key) for number, key in enumerate(_keys(spec), 1)),
        *(_exchanging(arns, spec) if tries else []),
    ]
    return document(merged(statements))


def _sagemaker_actions(arns: Arns, owner: Owner, *, invoke: bool) -> Statement:
    """What may be done with the models, configurations and endpoint of a deployment, and with their tags.

    CreateEndpoint and UpdateEndpoint are authorised on the endpoint and on its configuration. Of the other actions each is about
    resources of one type, so a statement for each type would allow no less, and be as long again: a managed policy has
    6,144 characters.
    """
    actions = [*_named("sagemaker", "Create Describe Delete", "Model EndpointConfig")]
    actions += [
        *_named("sagemaker", "Create Update Delete", "Endpoint"),
        "sagemaker:UpdateEndpointWeightsAndCapacities",
    ]
    resources = [
        *_sagemaker(arns, "endpoint", owner.endpoint_name),
        *_sagemaker(arns, "endpoint-config", owner.name_prefix, "-*"),
        *_sagemaker(arns, "model", owner.name_prefix, "-*"),
    ]
    actions += ["sagemaker:AddTags", "sagemaker:ListTags", *(["sagemaker:InvokeEndpointAsync"] if invoke else [])]
    return statement("Endpoint", actions, resources)


def _log(arns: Arns, spec: Spec) -> list[Statement]:
    """The permissions to read the log, to say what of it `destroy` leaves, and how long it is kept if the spec does."""
    group = arns.of("logs", f"log-group:{log_group(spec.endpoint.name)}")
    writing = ["logs:CreateLogGroup", "logs:PutRetentionPolicy"] if spec.endpoint.log_retention_in_days else []
    return [
        # Lines are read from its streams, `:*`; the group itself is written by both forms of its name.
        statement("Log", ["logs:FilterLogEvents", *writing], [*([group] if writing else []), f"{group}:*"]),
        # A listing is not authorised on a single group.
        statement("LookAtLogs", ["logs:DescribeLogGroups"], [arns.of("logs", "log-group:*")]),
    ]


def _scaling(arns: Arns, name: str) -> list[Statement]:
    """The permissions for automatic scaling; whether the spec wants it or not, what is there is looked at, and removed."""
    service = "application-autoscaling"
    targets = [arns.of(service, "scalable-target/*")]
    sagemaker_only = {"StringEquals": {f"{service}:service-namespace": "sagemaker"}}
    writes = [f"{service}:{name}" for name in ("RegisterScalableTarget", "DeregisterScalableTarget")]
    writes += [f"{service}:{verb}{noun}" for noun in ("ScalingPolicy", "ScheduledAction") for verb in ("Put", "Delete")]
    alarms = [scaling_names(name).wake_alarm, f"TargetTracking-endpoint/{name}/*", f"{NAME_PREFIX}{name}/*"]
    role = arns.role(f"aws-service-role/{_SCALING_PRINCIPAL}/{_SCALING_ROLE}")
    return [
        statement("Scaling", writes, targets, sagemaker_only),
        statement(
            "LookAtScaling",
            [
                *(f"{service}:DescribeScalableTargets", f"{service}:DescribeScalingPolicies"),
                f"{service}:DescribeScheduledActions",
                # Of these two `status` makes use, and of the second a smoke test without an answer.
                *(f"{service}:DescribeScalingActivities", "cloudwatch:GetMetricData"),
                "cloudwatch:DescribeAlarms",
            ],
            ["*"],
        ),
        statement(
            "Alarms",
            # PutMetricAlarm with tags also needs TagResource.
            ["cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:TagResource"],
            [arns.of("cloudwatch", f"alarm:{alarm}") for alarm in alarms],
        ),
        statement(
            "ScalingRole",
            ["iam:CreateServiceLinkedRole"],
            [role],
            {"StringEquals": {"iam:AWSServiceName": _SCALING_PRINCIPAL}},
        ),
    ]


def removal_statements(spec: Spec) -> list[Statement]:
    """What `gc` needs beside the removal of packages: to see who uses models, and to delete models and old requests.

    Args:
        spec: its endpoint, account and region are used.
    """
    arns, owner, asynchronous = _arns(spec), Owner.of(spec), spec.endpoint.asynchronous
    configs = _sagemaker(arns, "endpoint-config", owner.name_prefix, "-*")
    models = _sagemaker(arns, "model", owner.name_prefix, "-*")
    exchanged = [S3Uri.parse(input_prefix(asynchronous)), *_answers(asynchronous)]
    return [
        # Whoever made them: a model of anybody may load a package.
        statement("LookAtEndpoints", [*_LOOK_AT_ENDPOINTS, "sagemaker:DescribeModel"], ["*"]),
        statement("Models", ["sagemaker:DeleteModel"], models),
        statement("Configurations", ["sagemaker:DeleteEndpointConfig"], configs),
        statement("Tags", ["sagemaker:ListTags"], [*configs, *models]),
        statement("Exchanged", ["s3:DeleteObject"], [each for path in exchanged for each in arns.objects(path, "*")]),
        *_exchange_listings(arns, spec),
        statement("Prices", ["pricing:GetProducts"], ["*"]),
    ]


def _exchange_listings(arns: Arns, spec: Spec) -> list[Statement]:
    """The permission to list requests, answers and failures."""
    asynchronous = spec.endpoint.asynchronous
    places = [S3Uri.parse(input_prefix(asynchronous)), *_answers(asynchronous)]
    return _listings(arns, "LookAtExchanged", {place.bucket: [] for place in places}, places)


def _answers(asynchronous: AsyncInference) -> list[S3Uri]:
    return [S3Uri.parse(asynchronous.s3_output_path), S3Uri.parse(asynchronous.s3_failure_path)]


def predict_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever sends requests to the endpoint and reads its answers.

    Args:
        spec: its endpoint, account and region are used, and its encryption if requests go to the bucket of the target.
    """
    arns, answers = _arns(spec), _answers(spec.endpoint.asynchronous)
    endpoint = _sagemaker(arns, "endpoint", spec.endpoint.name)
    return document(
        [
            statement("Invoke", ["sagemaker:InvokeEndpointAsync", "sagemaker:DescribeEndpoint"], endpoint),
            *_exchanging(arns, spec),
            *_listings(arns, "Look", {location.bucket: [] for location in answers}, answers),
        ]
    )


def _exchanging(arns: Arns, spec: Spec) -> list[Statement]:
    """The permissions to write requests and to read answers, without that to list them."""
    artifact, asynchronous = spec.artifact, spec.endpoint.asynchronous
    requests, answers = S3Uri.parse(input_prefix(asynchronous)), _answers(asynchronous)
    encrypts = artifact.sse == "aws:kms" and requests.bucket == S3Uri.parse(artifact.target).bucket
    key = asynchronous.kms_key_id or (artifact.kms_key_id if encrypts else None)
    tags = ["s3:PutObjectTagging"] if artifact.tags else []
    return [
        statement("Requests", ["s3:PutObject", "s3:DeleteObject", *tags], arns.objects(requests, "*")),
        statement("Answers", ["s3:GetObject"], [each for path in answers for each in arns.objects(path, "*")]),
        *([arns.key("Encrypt", ["kms:GenerateDataKey", "kms:Decrypt"], key)] if key else []),
    ]


def _listings(arns: Arns, sid: str, buckets: dict[str, list[S3Uri]], locations: Iterable[S3Uri]) -> list[Statement]:
    """The permission to list what is below some prefixes, one statement for each bucket."""
    for location in locations:
        buckets[location.bucket].append(location)
    found = []
    for number, below in enumerate(buckets.values(), 1):
        listing = arns.listing(f"{sid}{number}" if len(buckets) > 1 else sid, below[0], "*")
        patterns = sorted({f"{literal(location.child('').key)}*" for location in below})
        found.append({**listing, "Condition": {"StringLike": {"s3:prefix": patterns}}})
    return found


def execution_policy(spec: Spec, packages: S3Uri) -> dict[str, Any]:
    """The permissions of the execution role: what SageMaker and the container do in its name.

    Listing has no condition on the prefix: which prefixes SageMaker asks for is not documented.

    Args:
        spec: its endpoint, image, account, region, topics and encryption are used.
        packages: what the keys of the spec's packages begin with.
    """
    arns, asynchronous, artifact = _arns(spec), spec.endpoint.asynchronous, spec.artifact
    requests = S3Uri.parse(input_prefix(asynchronous))
    answers = _answers(asynchronous)
    read = [*arns.objects(packages, "*"), *arns.objects(requests, "*")]
    buckets = sorted({arns.bucket(location) for location in (packages, requests, *answers)})
    group = arns.of("logs", f"log-group:{log_group(spec.endpoint.name)}")
    topics = _topics(spec)
    return document(
        [
            statement("Read", ["s3:GetObject"], read),
            statement(
                "Write",
                ["s3:PutObject", "s3:AbortMultipartUpload"],
                [each for path in answers for each in arns.objects(path, "*")],
            ),
            statement("List", ["s3:ListBucket"], buckets),
            statement("Pull", PULL, [_repository(arns, spec)]),
            # These two have no resources.
            statement("Login", ["ecr:GetAuthorizationToken"], ["*"]),
            statement("Metrics", ["cloudwatch:PutMetricData"], ["*"]),
            statement("Log", _named("logs", "Create", "LogGroup LogStream"), [group, f"{group}:*"]),
            statement("WriteLog", ["logs:PutLogEvents", "logs:DescribeLogStreams"], [group, f"{group}:*"]),
            *([statement("Notify", ["sns:Publish"], topics)] if topics else []),
            # Developer guide, "Auto-Rollback Configuration and Monitoring"; the names of alarms may be of any form.
            *([statement("Alarms", ["cloudwatch:DescribeAlarms"], ["*"])] if rollback_alarms(spec.endpoint) else []),
            *([statement("Network", NETWORK, ["*"])] if spec.endpoint.vpc else []),
            *(
                [arns.key("Decrypt", ["kms:Decrypt", "kms:GenerateDataKey"], artifact.kms_key_id)]
                if artifact.sse == "aws:kms" and artifact.kms_key_id
                else []
            ),
            *(
                [arns.key("EncryptAnswers", ["kms:Decrypt", "kms:GenerateDataKey"], asynchronous.kms_key_id)]
                if asynchronous.kms_key_id
                else []
            ),
            *_volume_grant(arns, spec),
        ]
    )


def _volume_grant(arns: Arns, spec: Spec) -> list[Statement]:
    """The permission to let the instances use the key of their volumes.

    The caller of CreateEndpoint needs it (SageMaker developer guide, "API permissions reference"), and the execution role (API
    reference, CreateEndpointConfig, KmsKeyId).
    """
    key = spec.endpoint.kms_key_id
    return [arns.key("VolumeKey", ["kms:CreateGrant"], key)] if key else []


def trust_policy() -> dict[str, Any]:
    """The trust policy of the execution role: SageMaker may assume it. The same in every partition."""
    trust = {"Effect": "Allow", "Principal": {"Service": SAGEMAKER}, "Action": "sts:AssumeRole"}
    return document([trust])


def _arns(spec: Spec) -> Arns:
    return Arns(images.partition(spec.aws.region), spec.aws.region, spec.aws.account)


def _named(service: str, verbs: str, nouns: str) -> list[str]:
    """Actions such as `sagemaker:CreateModel`."""
    return [f"{service}:{verb}{noun}" for verb in verbs.split() for noun in nouns.split()]


def _sagemaker(arns: Arns, kind: str, name: str, rest: str = "") -> list[str]:
    """The ARNs of resources by name. SageMaker writes names in lower case in ARNs, which IAM compares as they are."""
    return [arns.of("sagemaker", f"{kind}/{each}{rest}") for each in sorted({name, name.lower()})]


def _repository(arns: Arns, spec: Spec) -> str:
    registry = images.registry(spec.aws.region, spec.image.account)
    return arns.of("ecr", f"repository/{spec.image.repository}", registry.partition(".")[0])


def _keys(spec: Spec) -> list[str]:
    """The declared keys of the endpoint."""
    return sorted({key for key in (spec.endpoint.kms_key_id, spec.endpoint.asynchronous.kms_key_id) if key})


def _topics(spec: Spec) -> list[str]:
    """The topics that the execution role publishes to; to those of alarms CloudWatch itself does."""
    asynchronous = spec.endpoint.asynchronous
    return sorted({topic for topic in (asynchronous.success_topic, asynchronous.error_topic) if topic})
