"""The least IAM policy that publishing needs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.remote.s3 import Location

if TYPE_CHECKING:
    from sagepack.spec import Artifact, Spec


def publish_policy(spec: Spec, partition: str = "aws") -> dict[str, Any]:
    """An identity policy for whoever publishes `spec`: these actions on these resources, and nothing else.

    Copying a part reads its source, so the target is read as well as written. Objects are never deleted by publishing;
    `gc` needs `s3:DeleteObject` on the target besides. `s3:ListBucket` also makes S3 answer 404 instead of 403 for an
    object that is not there. Multipart uploads to a bucket with SSE-KMS need `kms:Decrypt` too (S3 user guide, "Multipart
    upload API and permissions").

    Args:
        spec: whose target, sources of re-use and encryption count.
        partition: of the region: `aws`, `aws-cn` or `aws-us-gov`.
    """
    artifact = spec.artifact
    target = Location.parse(artifact.target)
    write = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    if artifact.tags:
        write.append("s3:PutObjectTagging")
    statements: list[dict[str, Any]] = [
        _statement("Write", [*write, "s3:GetObject"], [_objects(target, partition)]),
        {
            **_statement("Look", ["s3:ListBucket"], [_bucket(target, partition)]),
            "Condition": {"StringLike": {"s3:prefix": [_below(target)]}},
        },
        # For `doctor` and `gc`, which look for stale uploads; this action takes no condition on the prefix.
        _statement("Stale", ["s3:ListBucketMultipartUploads"], [_bucket(target, partition)]),
    ]
    statements += _reuse(artifact, partition)
    if artifact.sse == "aws:kms" and artifact.kms_key_id:
        key = artifact.kms_key_id
        resource = (
            key if key.startswith("arn:") else f"arn:{partition}:kms:{spec.aws.region}:{spec.aws.account}:key/{key}"
        )
        actions = ["kms:GenerateDataKey", "kms:Decrypt"]
        if ":alias/" in resource or key.startswith("alias/"):
            # A key policy is about keys, not their aliases: any key that the alias names today or tomorrow.
            statement = _statement(
                "Encrypt", actions, [f"arn:{partition}:kms:{spec.aws.region}:{spec.aws.account}:key/*"]
            )
            statement["Condition"] = {"StringLike": {"kms:RequestAlias": f"alias/{key.partition('alias/')[2]}"}}
        else:
            statement = _statement("Encrypt", actions, [resource])
        statements.append(statement)
    return {"Version": "2012-10-17", "Statement": statements}


def _reuse(artifact: Artifact, partition: str) -> list[dict[str, Any]]:
    statements = []
    for number, location in enumerate(map(Location.parse, artifact.reuse_from), 1):
        statements.append(_statement(f"Reuse{number}", ["s3:GetObject"], [_objects(location, partition)]))
        look = _statement(f"LookReuse{number}", ["s3:ListBucket"], [_bucket(location, partition)])
        statements.append({**look, "Condition": {"StringLike": {"s3:prefix": [_below(location)]}}})
    return statements


def _statement(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def _bucket(location: Location, partition: str) -> str:
    return f"arn:{partition}:s3:::{location.bucket}"


def _below(location: Location) -> str:
    return f"{location.key}/*" if location.key else "*"


def _objects(location: Location, partition: str) -> str:
    return f"{_bucket(location, partition)}/{_below(location)}"
