"""The record of a deployment: who made an endpoint serve what, when, and from which commit of the project.

<target>/<name>/deployments/<env>/<UTC time>.json    one for each deployment that changed the endpoint, never overwritten

It is not the record of a release (`publish.release`), which says that a package is published whole. It has no value of an
environment variable, since whoever may read packages need not know them.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from sagepack.aws.s3 import S3Uri
from sagepack.decoding import AnyCommit, DigestText, Text, seal, unseal
from sagepack.deploy.origin import Origin
from sagepack.deploy.smoke_result import Smoke

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.s3 import S3
    from sagepack.spec.model import Spec

FORMAT = 1
MAX_SIZE = 64 << 10  # bytes
_SUFFIX = ".json"
_TIME = "%Y%m%dT%H%M%S%fZ"
_KEY = re.compile(r"[0-9]{8}T[0-9]{12}Z\.json")
_Name = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9](?:-*[A-Za-z0-9])*\Z", max_length=63)]


class DeploymentRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A deployment that ended well.

    Attributes:
        name, env: of the spec.
        endpoint: name of the endpoint.
        deployed: when it served.
        by: ARN of the caller.
        commit: of the project's repository; None without git.
        clean: whether the project was as that commit has it.
        manifest: digest of the manifest, the identity of the package.
        package: where SageMaker loads the package from.
        lock: SHA-256 of the lock file.
        image: the image, by digest.
        model: name of the model.
        config: name of the endpoint configuration.
        variables: names of the container's environment variables.
        settings: `endpoint` of the spec, by its own names.
        smoke: what came of the smoke test; None in records of versions that made none.
        promoted_from: the release whose package was copied; None for one from the working tree.
        license: of the model, as its card named it; empty if it named none, None in records of versions that did not ask.
        rolled_back_to: address of the record of the deployment that this one repeats; None if it is no rollback. Then all but
            `deployed`, `by` and `smoke` is as it was.
    """

    name: _Name
    env: Text
    endpoint: _Name
    deployed: Annotated[datetime, Meta(tz=True)]
    by: Text
    commit: AnyCommit | None
    clean: bool | None
    manifest: DigestText
    package: Annotated[str, Meta(pattern=r"\As3://[^/]+/", max_length=2048)]
    lock: DigestText
    image: Text
    model: _Name
    config: _Name
    variables: tuple[Text, ...]
    settings: dict[str, Any]
    smoke: Smoke | None = None
    promoted_from: Origin | None = None
    license: Text | None = None
    rolled_back_to: Text | None = None


def records_uri(spec: Spec) -> S3Uri:
    """What the keys of the records of a spec and environment begin with."""
    return S3Uri.parse(spec.artifact.target).child(f"{spec.name}/deployments/{spec.env}/")


def write(s3: S3, below: S3Uri, record: DeploymentRecord) -> S3Uri:
    """Write a record under the time of its deployment; another that is there already stays, and this one gets a later time."""
    while True:
        data = seal(record, FORMAT)
        location = S3Uri(below.bucket, f"{below.key}{key_time(record.deployed)}{_SUFFIX}")
        # It is there, too, after a request that was sent again because its answer was lost.
        if s3.put(location, data, if_absent=True) or s3.read(location) == data:
            return location
        record = msgspec.structs.replace(record, deployed=datetime.now(timezone.utc))


def key_time(time: datetime) -> str:
    """A time as keys have it; times in this form sort by themselves."""
    return f"{time.astimezone(timezone.utc):{_TIME}}"


def moment_of(text: str) -> datetime | None:
    """The time that a key has; None if it is none."""
    with suppress(ValueError):
        return datetime.strptime(text, _TIME).replace(tzinfo=timezone.utc)
    return None


def time_of(location: S3Uri) -> str:
    """The time in the key of a record."""
    return location.key.rpartition("/")[2].removesuffix(_SUFFIX)


def read(s3: S3, below: S3Uri, time: str) -> DeploymentRecord | None:
    """The record of a time, as its key has it; None if there is none, it is damaged or of another program."""
    name = f"{time}{_SUFFIX}"
    return _read(s3, S3Uri(below.bucket, below.key + name)) if _KEY.fullmatch(name) else None


def newest_of_all(
    s3: S3, target: S3Uri, name: str, most: int
) -> dict[str, list[tuple[S3Uri, DeploymentRecord | None]]]:
    """The newest records of every environment of a spec, by environment, as `newest` gives them."""
    below = target.child(f"{name}/deployments/")
    places = (each.location.key.removeprefix(below.key).partition("/") for each in s3.list(below))
    environments = sorted({env for env, slash, rest in places if slash and _KEY.fullmatch(rest)})
    return {env: list(islice(newest(s3, below.child(f"{env}/")), most)) for env in environments}


def newest(s3: S3, below: S3Uri) -> Iterator[tuple[S3Uri, DeploymentRecord | None]]:
    """The records with their addresses, newest first; None for an object that is damaged, or of another program."""
    keys = [each.location for each in s3.list(below) if _KEY.fullmatch(each.location.key.removeprefix(below.key))]
    for location in reversed(keys):  # S3 lists in the order of keys, here of time
        yield location, _read(s3, location)


def _read(s3: S3, location: S3Uri) -> DeploymentRecord | None:
    data = s3.get(location, MAX_SIZE)
    return unseal(data, FORMAT, DeploymentRecord) if data and len(data) <= MAX_SIZE else None
