"""One build in progress: the spec, where its files lie, and what the steps share, each looked up once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack import assembly, store
from sagepack.archive.layout import Layout
from sagepack.errors import UserError
from sagepack.fetch.cachelayout import RepoCache
from sagepack.fetch.trust import Trust
from sagepack.lock import Lock, asked_of
from sagepack.publish.keys import Package
from sagepack.publish.observe import observe
from sagepack.publish.plan import plan
from sagepack.remote.aws import Aws, AwsConnection
from sagepack.remote.hub import Hub
from sagepack.remote.s3 import S3, Location
from sagepack.units import amount

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.assembly import Assembly
    from sagepack.lock import LockedFile
    from sagepack.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.publish.plan import UploadPlan
    from sagepack.spec import Spec
    from sagepack.workspace import Workspace


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


class Build:
    """The context of one run. Nothing is looked up before a step asks for it.

    Args:
        spec: the validated spec.
        work: where its files lie.
        goal: what the run is for; `download` fetches what this goal needs.
        connect: called once, when the first service is needed (it may start the sandbox).
        hub_cache: Hugging Face cache folder (that of all repositories).
        progress: where the steps report to.
        locked: refuse to make or refresh the lock.
        stream: publish from the Hub to S3 without the model on this disk.
    """

    def __init__(
        self,
        spec: Spec,
        work: Workspace,
        goal: str,
        connect: Callable[[], Connections],
        hub_cache: Path,
        progress: Progress,
        *,
        locked: bool = False,
        stream: bool = False,
    ) -> None:
        self.spec, self.work, self.goal, self.progress = spec, work, goal, progress
        self.hub_cache, self.locked, self.stream = hub_cache, locked, stream
        self.records = store.Records(work.build / "records")
        self._connect = connect

    @cached_property
    def connections(self) -> Connections:
        """The services."""
        return self._connect()

    @cached_property
    def aws(self) -> Aws:
        """AWS, as the spec's region and profile."""
        return Aws(self.connections.aws)

    @cached_property
    def hub(self) -> Hub:
        """The Hub."""
        given = self.connections
        return Hub(given.hub_url, given.hub_token, self.hub_cache, tell=self.progress.note)

    @property
    def cache(self) -> RepoCache:
        """Where the model's files lie on this disk."""
        return RepoCache(self.hub_cache, self.spec.model.id)

    @cached_property
    def trust(self) -> Trust:
        """Digests of files that have not changed since they were hashed."""
        return Trust(self.work.root / "build" / "trust.json")

    @cached_property
    def lock(self) -> Lock | None:
        """The lock on disk, whether or not it answers the spec.

        Raises:
            UserError: the file is not a lock.
        """
        try:
            text = self.work.lock.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the lock: {error}", where=self.shown(self.work.lock)) from error
        return Lock.parse(text, self.shown(self.work.lock))

    @property
    def answered(self) -> Lock | None:
        """The lock, if it answers the spec as it is now."""
        return self.lock if self.lock is not None and self.lock.asked == asked_of(self.spec) else None

    def require_lock(self) -> Lock:
        """The lock that answers the spec.

        Raises:
            UserError: there is none.
        """
        if self.answered is None:
            raise UserError("there is no lock for this spec", where=self.shown(self.work.lock), fix="run `invoke lock`")
        return self.answered

    @cached_property
    def assembly(self) -> Assembly:
        """The inference code as it was when the run began."""
        code = self.spec.code
        return assembly.assemble(self.work.root / code.path, code.requirements, code.path)

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the package that lock and code make."""
        return assembly.manifest_of(self.require_lock(), self.assembly)

    @cached_property
    def store(self) -> S3:
        """S3, as the spec's artifact wants it used."""
        return S3.of(self.aws, self.spec.artifact)

    @property
    def package(self) -> Package:
        """The keys of the package in S3."""
        target = Location.parse(self.spec.artifact.target)
        return Package(target, self.spec.name, self.manifest.digest, self.spec.artifact.layout)

    @cached_property
    def upload_plan(self) -> UploadPlan:
        """What S3 holds of the package, and what it lacks; asked once."""
        others = [Location.parse(target) for target in self.spec.artifact.reuse_from]
        seen = observe(self.store, self.package, self.manifest, others)
        return plan(seen, self.manifest, Layout.of(self.manifest.members))

    @property
    def wanted(self) -> tuple[LockedFile, ...]:
        """The model files that the goal needs on this disk: all for an archive, else those that S3 lacks."""
        lock = self.require_lock()
        if self.goal not in ("upload", "deploy"):
            return lock.files
        return () if self.streamed else self.lacking

    @cached_property
    def streamed(self) -> str | None:
        """Why what S3 lacks goes from the Hub to S3 without touching this disk; None if it does not."""
        if self.stream:
            return "--stream"
        have, folder = self.lacking, self.hub_cache
        while not folder.exists():
            folder = folder.parent
        need = sum(
            file.size for file in have if not self.cache.snapshot(self.require_lock().commit, file.path).exists()
        )
        free = shutil.disk_usage(folder).free
        return f"{amount(need)} do not fit the {amount(free)} that are free" if need > free else None

    @property
    def lacking(self) -> tuple[LockedFile, ...]:
        """The model files that S3 lacks."""
        lacking = {member.path for member in self.upload_plan.needed}
        return tuple(file for file in self.require_lock().files if file.path in lacking)

    def forget(self) -> None:
        """Drop what depends on the lock, after the lock changed."""
        for name in ("lock", "manifest", "upload_plan", "streamed"):
            self.__dict__.pop(name, None)

    def shown(self, path: Path) -> str:
        """`path` as messages show it."""
        return self.work.shown(path)

    def differences(self, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, ...]:
        """What changed between two documents of inputs."""
        return store.differences(before, after)
