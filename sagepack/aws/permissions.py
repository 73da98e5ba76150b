"""The IAM actions that allow the operations which this program calls, and the policy that contains them. Pure.

Most operations have an action of the same name. Those of S3 have not: one action stands for several operations.
"""

from __future__ import annotations

# Prefix of the actions -> operations whose action has the same name.
_SAME_NAME = {
    "sagemaker": (
        *("CreateModel", "DescribeModel", "DeleteModel", "ListModels"),
        *("CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig", "ListEndpointConfigs"),
        *("CreateEndpoint", "UpdateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "ListEndpoints"),
        "UpdateEndpointWeightsAndCapacities",
        *("InvokeEndpointAsync", "AddTags", "ListTags"),
        *("CreateProcessingJob", "DescribeProcessingJob"),
        *("ListInferenceComponents", "DescribeInferenceComponent", "ListInferenceRouters", "DescribeInferenceRouter"),
    ),
    "application-autoscaling": (
        *("RegisterScalableTarget", "DeregisterScalableTarget", "DescribeScalableTargets"),
        *("PutScalingPolicy", "DeleteScalingPolicy", "DescribeScalingPolicies", "DescribeScalingActivities"),
        *("PutScheduledAction", "DeleteScheduledAction", "DescribeScheduledActions"),
    ),
    "cloudwatch": ("PutMetricAlarm", "DeleteAlarms", "DescribeAlarms", "GetMetricData"),
    "logs": ("FilterLogEvents", "DescribeLogGroups", "CreateLogGroup", "PutRetentionPolicy"),
    "ecr": ("DescribeImages", "BatchGetImage"),
    "iam": ("GetRole", "SimulatePrincipalPolicy"),
    "ec2": ("DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcEndpoints"),
    "sns": ("GetTopicAttributes",),
    "kms": ("DescribeKey", "GetPublicKey", "Sign"),
    "pricing": ("GetProducts",),
    "secretsmanager": ("GetSecretValue",),
    "servicequotas": ("GetServiceQuota", "ListServiceQuotas"),
}
# S3 user guide, "Required permissions for Amazon S3 API operations".
_S3 = {
    "HeadBucket": ("s3:ListBucket",),
    "ListObjectsV2": ("s3:ListBucket",),
    "HeadObject": ("s3:GetObject",),
    "GetObject": ("s3:GetObject",),
    "PutObject": ("s3:PutObject",),
    "DeleteObject": ("s3:DeleteObject",),
    "CopyObject": ("s3:GetObject", "s3:PutObject"),
    "UploadPartCopy": ("s3:GetObject", "s3:PutObject"),
    "CreateMultipartUpload": ("s3:PutObject",),
    "UploadPart": ("s3:PutObject",),
    "CompleteMultipartUpload": ("s3:PutObject",),
    "AbortMultipartUpload": ("s3:AbortMultipartUpload",),
    "ListParts": ("s3:ListMultipartUploadParts",),
    "ListMultipartUploads": ("s3:ListBucketMultipartUploads",),
    "GetBucketLifecycleConfiguration": ("s3:GetLifecycleConfiguration",),
}
# No policy is needed for it, and none can deny it (IAM user guide, "GetCallerIdentity").
_ALWAYS_ALLOWED = {"GetCallerIdentity": ()}
ACTIONS: dict[str, tuple[str, ...]] = {
    **{name: (f"{prefix}:{name}",) for prefix, names in _SAME_NAME.items() for name in names},
    **_S3,
    **_ALWAYS_ALLOWED,
}
# What is neither publishing nor deploying.
_OTHER_PURPOSES = {
    "DeleteObject": "gc",
    "Sign": "sign",
    "GetPublicKey": "sign",
    "InvokeEndpointAsync": "predict",
    "CreateProcessingJob": "remote",
    "DescribeProcessingJob": "remote",
    "GetSecretValue": "remote-execution",
}


def actions_of(operation: str) -> tuple[str, ...]:
    """The actions that allow an operation; its own name for one that this program does not call."""
    return ACTIONS.get(operation, (operation,))


def policy_for(operation: str) -> str | None:
    """Which policy, as `invoke policy --for` names it, allows an operation; None for one that no policy is about."""
    if purpose := _OTHER_PURPOSES.get(operation):
        return purpose
    if operation in _S3:
        return "publish"
    return "deploy" if ACTIONS.get(operation) else None
