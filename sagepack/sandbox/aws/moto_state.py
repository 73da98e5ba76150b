"""What hosting reads and writes in the rest of the sandbox's AWS: moto's objects, roles, images, topics and logs.

moto is imported inside functions: each of its services takes a large part of a second to import, some of them seconds.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import role_policies
from sagepack.sandbox.identity import ACCOUNT, REGION
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUCKET = "sagepack-sandbox"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagepack-sandbox"

# What an account needs before a first deployment: a role that SageMaker may assume, and a bucket that does not keep the parts
# of unfinished uploads.
_TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
_EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
_ABORT_UNFINISHED = {
    "ID": "abort-unfinished-uploads",
    "Status": "Enabled",
    "Filter": {"Prefix": ""},
    "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": "7"},
}
_LOGGING = threading.Lock()  # moto numbers events without one
_MOST_EVENTS = 10_000
_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+/(?P<repository>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def reset() -> None:
    """Delete all of moto's state, then create the bucket and the role."""
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends

    BackendDict.reset()
    reset_model_data()
    bucket = s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, REGION)
    bucket.set_lifecycle([_ABORT_UNFINISHED])
    name = ROLE.rpartition("/")[2]
    iam_backends[ACCOUNT]["aws"].create_role(
        role_name=name,
        assume_role_policy_document=json.dumps({"Version": "2012-10-17", "Statement": [_TRUST]}),
        path="/",
        permissions_boundary=None,
        description="the role of the sandbox's endpoints",
        tags=[],
        max_session_duration="3600",
    )
    iam_backends[ACCOUNT]["aws"].put_role_policy(name, "everything", json.dumps(_EVERYTHING))


def tag_digest(repository: str, tag: str) -> str:
    """A made-up digest for an image of AWS's registries; it depends on repository and tag only."""
    return f"sha256:{hashlib.sha256(f'{repository}:{tag}'.encode()).hexdigest()}"


def registry_accounts() -> set[str]:
    """The accounts of AWS's registries of deep learning containers."""
    return {account for region in images.regions() if (account := images.account(region))}


def image_digest(uri: str, region: str) -> str | None:
    """The digest of an image; None if it does not exist or an endpoint in `region` cannot pull it."""
    match = _IMAGE.fullmatch(uri)
    if match is None or match["region"] != region:
        return None
    if match["account"] in registry_accounts() and match["repository"] == images.repository():
        known = {tag_digest(match["repository"], tag) for tag in images.known_tags()}
        digest = match["digest"] or tag_digest(match["repository"], match["tag"] or "latest")
        return digest if digest in known else None
    from moto.ecr.models import ecr_backends

    repository = ecr_backends[match["account"]][region].repositories.get(match["repository"])
    for image in repository.images if repository else ():
        digest = str(image.get_image_digest())
        if match["digest"] == digest or (match["digest"] is None and (match["tag"] or "latest") in image.image_tags):
            return digest
    return None


def can_assume(arn: str) -> bool:
    """Whether a role exists and its trust policy names SageMaker."""
    from moto.iam.models import iam_backends

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    return any(role.arn == arn and '"sagemaker.amazonaws.com"' in role.assume_role_policy_document for role in roles)


def role_allows(arn: str, action: str, resource: str) -> bool:
    """Whether the inline policies of a role allow an action on a resource, conditions aside."""
    from moto.iam.models import iam_backends

    roles = iam_backends[ACCOUNT]["aws"].roles.values()
    documents = next((role.policies.values() for role in roles if role.arn == arn), ())
    return role_policies.decide(documents, action, resource) == "allowed"


def reaches_s3(region: str, subnets: Sequence[str]) -> bool:
    """Whether containers in some subnets reach S3: by an endpoint of their VPC for it, or by a NAT gateway; no routes are looked at."""
    from moto.ec2.models import ec2_backends

    backend = ec2_backends[ACCOUNT][region]
    in_vpcs = {subnet.vpc_id for zone in backend.subnets.values() for subnet in zone.values() if subnet.id in subnets}
    endpoints = [each for each in backend.vpc_end_points.values() if each.service_name.endswith(".s3")]
    gateways = backend.nat_gateways.values()
    with_way = {*(each.vpc_id for each in endpoints), *(each.vpc_id for each in gateways)}
    return bool(in_vpcs) and in_vpcs <= with_way


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _bucket(name: str) -> Any | None:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].buckets.get(name)


def bucket_region(name: str) -> str | None:
    """Region of a bucket; None if it does not exist."""
    bucket = _bucket(name)
    return str(bucket.region_name) if bucket else None


def read(uri: str) -> bytes | None:
    """The content of an object; None if it does not exist."""
    name, key = split_uri(uri)
    bucket = _bucket(name)
    s3_object = bucket.keys.get(key) if bucket else None
    return bytes(s3_object.value) if s3_object else None


def etag(uri: str) -> str | None:
    """The ETag of an object, without its quotes; None if it does not exist."""
    name, key = split_uri(uri)
    bucket = _bucket(name)
    s3_object = bucket.keys.get(key) if bucket else None
    return str(s3_object.etag).strip('"') if s3_object else None


def read_below(uri: str) -> Iterator[tuple[str, bytes]]:
    """Path, relative to the prefix, and content of every object below a prefix."""
    name, prefix = split_uri(uri)
    bucket = _bucket(name)
    if bucket is None:
        return
    for key in list(bucket.keys):
        if key.startswith(prefix) and not key.endswith("/"):
            yield key[len(prefix) :], bytes(bucket.keys.get(key).value)


def has_objects(uri: str, *, prefix: bool) -> bool:
    """Whether the object at `uri` exists; with `prefix`, whether any object's key starts with that of `uri`."""
    name, key = split_uri(uri)
    bucket = _bucket(name)
    if bucket is None:
        return False
    return any(other.startswith(key) for other in bucket.keys) if prefix else bucket.keys.get(key) is not None


def write(uri: str, content: bytes, content_type: str, key_id: str | None) -> None:
    """Create an object, as the SageMaker service does; a bucket that does not exist is ignored: AWS reports it to nobody.

    Args:
        uri: the object.
        content: its content.
        content_type: its media type.
        key_id: the KMS key that encrypts it; None for the bucket's default.
    """
    from moto.s3.models import s3_backends

    bucket, key = split_uri(uri)
    if _bucket(bucket):
        encryption = "aws:kms" if key_id else None
        backend = s3_backends[ACCOUNT]["aws"]
        s3_object = backend.put_object(bucket, key, content, encryption=encryption, kms_key_id=key_id)
        s3_object.set_metadata({"Content-Type": content_type})


def publish(topic: str, message: str) -> None:
    """Publish a message to an SNS topic, given by its ARN; a topic that does not exist is ignored."""
    from moto.sns.models import sns_backends

    region = topic.split(":")[3]
    backend = sns_backends[ACCOUNT][region]
    if topic in backend.topics:
        backend.publish(message=message, arn=topic)


def log(region: str, endpoint: str, lines: Sequence[str], stream: str = "AllTraffic/i-0123456789abcdef0") -> None:
    """Write lines to the log group of an endpoint, as its container does."""
    write_log(region, f"/aws/sagemaker/Endpoints/{endpoint}", stream, lines)


def write_log(region: str, group: str, stream: str, lines: Sequence[str]) -> None:
    """Write lines to a stream of a log group, which are created if they are not there; of each stream the newest are kept."""
    from moto.logs.models import logs_backends

    backend, now = logs_backends[ACCOUNT][region], int(time.time() * 1000)
    with _LOGGING:
        if group not in backend.groups:
            backend.create_log_group(group, {})
        if stream not in backend.groups[group].streams:
            backend.create_log_stream(group, stream)
        backend.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in lines])
        events = backend.groups[group].streams[stream].events
        events[:] = events[-_MOST_EVENTS:]
