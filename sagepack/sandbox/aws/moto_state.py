"""What hosting needs to know of the rest of the sandbox's AWS: objects, roles, images, scaling, topics and logs in moto."""

from __future__ import annotations

import hashlib
import re
import sys
import time
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.process import ACCOUNT, REGION
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BUCKET = "sagepack-sandbox"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/sagepack-sandbox"

_DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_IMAGE = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z0-9.]+/(?P<repository>[^:@]+)"
    r"(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def reset() -> None:
    """Forget everything that moto holds, then make the bucket and the role."""
    from moto.core.base_backend import BackendDict
    from moto.core.model_instances import reset_model_data
    from moto.iam.models import iam_backends
    from moto.s3.models import s3_backends

    BackendDict.reset()
    reset_model_data()
    s3_backends[ACCOUNT]["aws"].create_bucket(BUCKET, REGION)
    iam_backends[ACCOUNT]["aws"].create_role(
        role_name=ROLE.rpartition("/")[2],
        assume_role_policy_document="{}",
        path="/",
        permissions_boundary=None,
        description="what endpoints of the sandbox run as",
        tags=[],
        max_session_duration="3600",
    )


def tag_digest(repository: str, tag: str) -> str:
    """The digest that stands in for that of an image of AWS's registry: the same everywhere, and no real one."""
    return f"sha256:{hashlib.sha256(f'{repository}:{tag}'.encode()).hexdigest()}"


def registry_accounts() -> set[str]:
    """The accounts of AWS's registries of deep learning containers."""
    return {account for region in images.regions() if (account := images.account(region))}


def image_digest(uri: str, region: str) -> str | None:
    """The digest of an image that an endpoint in `region` can pull; None if it cannot."""
    match = _IMAGE.fullmatch(uri)
    if match is None or match["region"] != region:
        return None
    if match["account"] in registry_accounts() and match["repository"] == images.repository():
        known = {tag_digest(match["repository"], tag) for tag in images.known_tags()}
        found = match["digest"] or tag_digest(match["repository"], match["tag"] or "latest")
        return found if found in known else None
    return _own_image(match["account"], region, match["repository"], match["tag"], match["digest"])


def _own_image(account: str, region: str, repository: str, tag: str | None, digest: str | None) -> str | None:
    from moto.ecr.models import ecr_backends

    held = ecr_backends[account][region].repositories.get(repository)
    for image in held.images if held else ():
        found = str(image.get_image_digest())
        if digest == found or (digest is None and (tag or "latest") in image.image_tags):
            return found
    return None


def has_role(arn: str) -> bool:
    """Whether IAM has the role."""
    from moto.iam.models import iam_backends

    return any(role.arn == arn for role in iam_backends[ACCOUNT]["aws"].roles.values())


def split(uri: str) -> tuple[str, str]:
    """Bucket and key of an `s3://` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _bucket(name: str) -> Any | None:
    from moto.s3.models import s3_backends

    return s3_backends[ACCOUNT]["aws"].buckets.get(name)


def bucket_region(name: str) -> str | None:
    """Region of a bucket; None if there is none."""
    bucket = _bucket(name)
    return str(bucket.region_name) if bucket else None


def read(uri: str) -> bytes | None:
    """The content of an object; None if there is none."""
    name, key = split(uri)
    bucket = _bucket(name)
    found = bucket.keys.get(key) if bucket else None
    return bytes(found.value) if found else None


def read_below(uri: str) -> Iterator[tuple[str, bytes]]:
    """Path and content of every object below a prefix."""
    name, prefix = split(uri)
    bucket = _bucket(name)
    if bucket is None:
        return
    for key in list(bucket.keys):
        if key.startswith(prefix) and not key.endswith("/"):
            yield key[len(prefix) :], bytes(bucket.keys.get(key).value)


def has_objects(uri: str, *, prefix: bool) -> bool:
    """Whether the object is there, or any object below the prefix."""
    name, key = split(uri)
    bucket = _bucket(name)
    if bucket is None:
        return False
    return any(other.startswith(key) for other in bucket.keys) if prefix else bucket.keys.get(key) is not None


def write(uri: str, content: bytes, content_type: str) -> None:
    """Make an object, as the service itself does; a bucket that is not there is passed over, as AWS cannot tell anybody."""
    from moto.s3.models import s3_backends

    bucket, key = split(uri)
    if _bucket(bucket):
        made = s3_backends[ACCOUNT]["aws"].put_object(bucket, key, content)
        made.set_metadata({"Content-Type": content_type})


def publish(topic: str, message: str) -> None:
    """Send a notification; a topic that is not there is passed over."""
    from moto.sns.models import sns_backends

    region = topic.split(":")[3]
    backend = sns_backends[ACCOUNT][region]
    if topic in backend.topics:
        backend.publish(message=message, arn=topic)


def _scaling(region: str) -> Any | None:
    """Moto's automatic scaling; None while nobody has asked it for anything: importing it takes seconds."""
    if "moto.applicationautoscaling.models" not in sys.modules:
        return None
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    return applicationautoscaling_backends[ACCOUNT][region]


def scaled_variants(region: str, endpoint: str) -> list[str]:
    """Resource ids of the scalable targets of an endpoint."""
    backend = _scaling(region)
    held: dict[str, Any] = backend.targets.get(_DIMENSION, {}) if backend else {}
    return [resource for resource in held if resource.startswith(f"endpoint/{endpoint}/")]


def deregister(region: str, endpoint: str) -> None:
    """Forget the scalable targets of an endpoint with their policies, as deleting the endpoint does."""
    backend = _scaling(region)
    for resource in scaled_variants(region, endpoint):
        forget_policies(region, resource)
        if backend:
            backend.deregister_scalable_target("sagemaker", resource, _DIMENSION)


def forget_policies(region: str, resource: str) -> None:
    """Delete the scaling policies of a scalable target, as deregistering it does."""
    backend = _scaling(region)
    policies: dict[str, Any] = backend.policies if backend else {}
    for key in [key for key, policy in policies.items() if policy.resource_id == resource]:
        del policies[key]


def log(region: str, endpoint: str, lines: Sequence[str]) -> None:
    """Write lines of a container to the endpoint's log group."""
    from moto.logs.models import logs_backends

    backend = logs_backends[ACCOUNT][region]
    group, stream = f"/aws/sagemaker/Endpoints/{endpoint}", "AllTraffic/i-0123456789abcdef0"
    if group not in backend.groups:
        backend.create_log_group(group, {})
    if stream not in backend.groups[group].streams:
        backend.create_log_stream(group, stream)
    now = int(time.time() * 1000)
    backend.put_log_events(group, stream, [{"timestamp": now, "message": line} for line in lines])
