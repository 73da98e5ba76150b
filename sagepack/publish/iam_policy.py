"""The minimal IAM policy for publishing. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import S3Uri
from sagepack.publish.keys import CONTENTS, PackageFormat
from sagepack.spec.images import partition

if TYPE_CHECKING:
    from sagepack.spec.model import Artifact, Spec


def publish_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever publishes `spec`: exactly the actions and resources that publishing uses.

    The publisher writes the packages of the spec's own name, and pointers. Of the packages of other names, and of those
    under `artifact.reuse_from`, it reads what a copy needs: pointers, indexes, and models (a copy reads its source with
    the permissions of the caller). So the publisher of one name cannot write to the packages of another. A pointer proves
    nothing: who can write it can make others look at a package, but not trust it.

    With `s3:ListBucket` S3 also answers 404, not 403, for an object that does not exist, such as the pointer of a content
    that was never published; the condition on the prefix then applies to the key of that object.

    Publishing deletes no object. `gc` aborts unfinished uploads and deletes no object either; this policy allows it for
    the spec's own name. Aborting those of a whole target takes `s3:AbortMultipartUpload` on all of it. Multipart uploads
    to a bucket with SSE-KMS also need `kms:Decrypt` (S3 user guide, "Multipart upload API and permissions").

    Args:
        spec: its target, `reuse_from`, region, account and encryption are used.
    """
    artifact, region = spec.artifact, spec.aws.region
    arn = f"arn:{partition(region)}"
    target = S3Uri.parse(artifact.target)
    tags = ["s3:PutObjectTagging"] if artifact.tags else []
    upload = ["s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
    own, pointers, others = f"{spec.name}/*", f"{CONTENTS}/*", _models(artifact)
    statements: list[dict[str, Any]] = [
        _statement("Packages", ["s3:PutObject", "s3:GetObject", *upload, *tags], _objects(arn, target, own)),
        _statement("Pointers", ["s3:PutObject", "s3:GetObject", *tags], _objects(arn, target, pointers)),
        _statement("Others", ["s3:GetObject"], _objects(arn, target, *others)),
        _listing("Look", arn, target, own, pointers, *others),
        # For `doctor` and `gc`, which list unfinished uploads; this action supports no condition on the prefix.
        _statement("Stale", ["s3:ListBucketMultipartUploads"], [_bucket(arn, target)]),
    ]
    for number, location in enumerate(map(S3Uri.parse, artifact.reuse_from), 1):
        read = (pointers, f"{spec.name}/releases/*", *others)
        statements.append(_statement(f"Reuse{number}", ["s3:GetObject"], _objects(arn, location, *read)))
        statements.append(_listing(f"LookReuse{number}", arn, location, *read))
    if artifact.sse == "aws:kms" and artifact.kms_key_id:
        statements.append(_encryption(artifact.kms_key_id, f"{arn}:kms:{region}:{spec.aws.account}"))
    return {"Version": "2012-10-17", "Statement": statements}


def _models(artifact: Artifact) -> tuple[str, str]:
    """The keys of any package, below a target, that a copy needs: its index and its model. `*` also matches slashes."""
    format_ = PackageFormat(artifact.layout)
    model = format_.model_name if format_ is PackageFormat.ARCHIVE else f"{format_.model_name}*"
    return f"*/{format_.index_name}", f"*/{model}"


def _encryption(key: str, service: str) -> dict[str, Any]:
    """The permissions for encrypting with a KMS key, which the spec names by its id, its ARN or an alias."""
    actions = ["kms:GenerateDataKey", "kms:Decrypt"]
    alias = re.search(r"(?:^|:)(alias/.*)", key)
    if alias is None:
        return _statement("Encrypt", actions, [key if key.startswith("arn:") else f"{service}:key/{key}"])
    # A resource cannot be an alias: the statement is about all keys, on the condition that the request uses the alias.
    statement = _statement("Encrypt", actions, [f"{service}:key/*"])
    return {**statement, "Condition": {"StringLike": {"kms:RequestAlias": alias[1]}}}


def _listing(sid: str, arn: str, location: S3Uri, *below: str) -> dict[str, Any]:
    statement = _statement(sid, ["s3:ListBucket"], [_bucket(arn, location)])
    return {**statement, "Condition": {"StringLike": {"s3:prefix": [_key(location, name) for name in below]}}}


def _statement(sid: str, actions: list[str], resources: list[str]) -> dict[str, Any]:
    return {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": resources}


def _bucket(arn: str, location: S3Uri) -> str:
    return f"{arn}:s3:::{_literal(location.bucket)}"


def _objects(arn: str, location: S3Uri, *below: str) -> list[str]:
    return [f"{_bucket(arn, location)}/{_key(location, name)}" for name in below]


def _key(location: S3Uri, below: str) -> str:
    return f"{_literal(location.child('').key)}{below}"


def _literal(text: str) -> str:
    """`text` for a policy, in which `*`, `?` and `$` have a special meaning (IAM user guide, "Policy variables")."""
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", text)
