"""The services of one build, and what S3 holds of its package. Imported when the first of them is needed."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.s3_types import WriteOptions
from sagepack.aws.session import Aws, AwsConnection
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.client import Hub
from sagepack.publish.keys import Package, PackageFormat
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.verified import VerifiedObjects
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext
    from sagepack.package.lock import LockedFile
    from sagepack.publish.upload_plan import UploadPlan
    from sagepack.spec.model import Artifact


@dataclass(frozen=True)
class Connections:
    """How the services are reached: real ones, or the sandbox.

    Attributes:
        aws: connection of AWS.
        hub_url: the Hub's URL; None means the client's own (`HF_ENDPOINT` or huggingface.co).
        hub_token: token of the sandbox's Hub; None means `HF_TOKEN` or the client's login.
    """

    aws: AwsConnection
    hub_url: str | None = None
    hub_token: str | None = field(default=None, repr=False)


def write_options(artifact: Artifact) -> WriteOptions:
    """What a spec asks for of every object that is written."""
    return WriteOptions(
        bucket=S3Uri.parse(artifact.target).bucket,
        owner=artifact.expected_bucket_owner,
        sse=artifact.sse,
        kms_key_id=artifact.kms_key_id,
        storage_class=artifact.storage_class,
        tags=artifact.tags,
    )


class Services:
    """Clients, and what they were asked; each is made or asked once."""

    def __init__(self, build: BuildContext, connections: Connections) -> None:
        self._build = build
        self.connections = connections
        self.aws = Aws(connections.aws)
        self.hub = Hub(connections.hub_url, connections.hub_token, build.hub_cache, tell=build.progress.note)

    @cached_property
    def store(self) -> S3:
        """S3, as the spec's artifact wants it used."""
        return S3(self.aws.client("s3"), write_options(self._build.spec.artifact))

    @property
    def package(self) -> Package:
        """The keys of the package in S3."""
        artifact = self._build.spec.artifact
        format_, digest = PackageFormat(artifact.layout), self._build.manifest.digest
        return Package(S3Uri.parse(artifact.target), self._build.spec.name, digest, format_)

    @cached_property
    def upload_plan(self) -> UploadPlan:
        """What S3 holds of the package, and what it lacks."""
        others = [S3Uri.parse(target) for target in self._build.spec.artifact.reuse_from]
        manifest = self._build.manifest
        seen = observe(self.store, self.package, manifest, others, verified=self.verified)
        return plan_upload(seen, manifest)

    @property
    def verified(self) -> VerifiedObjects:
        """What this machine knows of objects in S3."""
        return VerifiedObjects(self._build.work.root / "build" / "verified")

    @property
    def lacking(self) -> tuple[LockedFile, ...]:
        """The model files whose content S3 lacks."""
        lacking = {member.path for member in self.upload_plan.missing}
        return tuple(file for file in self._build.require_lock().files if file.path in lacking)

    @cached_property
    def streamed(self) -> str | None:
        """Why what S3 lacks goes from the Hub to S3 without touching this disk; None if it does not."""
        build = self._build
        if build.stream:
            return "--stream"
        need = scan_cache(build.cache, build.require_lock().commit, self.lacking, build.trust).bytes_missing
        folder = build.hub_cache
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        return f"{format_bytes(need)} do not fit the {format_bytes(free)} that are free" if need > free else None

    def contents(self) -> list[dict[str, Any]]:
        """For each file of the package, the bytes that move, and where S3 copies from and why that is believed."""
        here = scan_cache(self._build.cache, self._build.require_lock().commit, self.lacking, self._build.trust)
        from_hub = {file.path for file in here.missing}
        return [
            {
                "path": content.member.path,
                "size": content.member.size,
                "copied": content.copied,
                "sent": content.sent + content.borrowed,
                "fetched": content.borrowed + (content.member.size if content.member.path in from_hub else 0),
                "read": content.read,
                "source": str(content.origin.seen.location) if content.origin else None,
                "binding": content.origin.binding.value if content.origin else None,
            }
            for content in self.upload_plan.contents
        ]

    def forget(self) -> None:
        """Drop what was asked."""
        for name in ("upload_plan", "streamed"):
            self.__dict__.pop(name, None)
