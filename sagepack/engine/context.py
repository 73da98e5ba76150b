"""One build in progress: the spec, where its files lie, and what the steps share, each looked up once."""

from __future__ import annotations

import importlib
import posixpath
from functools import cached_property
from typing import TYPE_CHECKING

from sagepack import __version__
from sagepack.engine import records as store
from sagepack.engine.records import Record
from sagepack.errors import SpecError, UserError
from sagepack.hub.cache import RepoCache
from sagepack.hub.hash_cache import HashCache
from sagepack.package.contents import manifest_of
from sagepack.package.lock import MAX_BYTES, Lock
from sagepack.spec import code_tree, secrets
from sagepack.spec.inspection import Inspection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.engine.clients import Connections, Services
    from sagepack.engine.workspace import Workspace
    from sagepack.package.lock import LockedFile
    from sagepack.package.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.spec.code_tree import CodeTree
    from sagepack.spec.model import Spec


class BuildContext:
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
        connections: most connections to the Hub at once.
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
        connections: int = 8,
    ) -> None:
        self.spec, self.work, self.goal, self.progress = spec, work, goal, progress
        self.hub_cache, self.locked, self.stream, self.connections = hub_cache, locked, stream, connections
        self.records = store.Records(work.build / "records")
        self.connect = connect

    @cached_property
    def services(self) -> Services:
        """The services. A package that is done pays for none of them, not even the import."""
        module = importlib.import_module("sagepack.engine.clients")
        made: Services = module.Services(self, self.connect())
        return made

    @property
    def cache(self) -> RepoCache:
        """Where the model's files lie on this disk.

        Raises:
            UserError: there is no lock that answers the spec.
        """
        return RepoCache(self.hub_cache, self.require_lock().revision)

    @cached_property
    def trust(self) -> HashCache:
        """Digests of files that have not changed since they were hashed."""
        return HashCache(self.work.root / "build" / "trust.json")

    @cached_property
    def lock(self) -> Lock | None:
        """The lock on disk, whether or not it answers the spec.

        Raises:
            UserError: the file is not a lock.
        """
        try:
            with self.work.lock.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read the lock: {error.strerror}", where=self.shown(self.work.lock)) from error
        return Lock.parse(data, self.shown(self.work.lock))

    @property
    def answered(self) -> Lock | None:
        """The lock, if it answers the spec as it is now."""
        return self.lock if self.lock is not None and self.lock.is_current(self.spec) else None

    def require_lock(self) -> Lock:
        """The lock that answers the spec.

        Raises:
            UserError: there is none.
        """
        if self.answered is None:
            raise UserError("there is no lock for this spec", where=self.shown(self.work.lock), fix="run `invoke lock`")
        return self.answered

    @cached_property
    def code(self) -> CodeTree:
        """The inference code as it was when the run began.

        Raises:
            SpecError: code or sample hold a secret, or something that no package can hold.
        """
        source, sample = self.spec.code, self.spec.sample
        inspection = Inspection(self.spec.not_secret, self._inspected())
        tree = code_tree.scan(
            self.work.root / source.path, source.requirements, posixpath.normpath(source.path), inspection
        )
        if sample and sample.file:
            inspection.read_sample(self.work.root / sample.file, posixpath.normpath(sample.file))
        if inspection.problems:
            raise SpecError(inspection.problems, "the files of this project")
        if inspection.clean != self._inspected():
            self.records.save(Record("inspection", secrets.VERSION, {"by": __version__, "clean": inspection.clean}, {}))
        return tree

    def _inspected(self) -> dict[str, str]:
        """Digests of the files in which this version has found no secret."""
        last = self.records.load("inspection")
        if last is None or last.version != secrets.VERSION or last.inputs.get("by") != __version__:
            return {}
        clean: dict[str, str] = last.inputs["clean"]
        return clean

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the package that lock and code make."""
        return manifest_of(self.require_lock(), self.code)

    @property
    def wanted(self) -> tuple[LockedFile, ...]:
        """The model files that the goal needs on this disk: all for an archive, else those that S3 lacks."""
        if self.goal not in ("upload", "deploy"):
            return self.require_lock().files
        return () if self.services.streamed else self.services.lacking

    def forget(self) -> None:
        """Drop what was looked up, after the lock changed or another command was at work."""
        for name in ("lock", "code", "manifest", "trust"):
            self.__dict__.pop(name, None)
        if "services" in self.__dict__:
            self.services.forget()

    def shown(self, path: Path) -> str:
        """`path` as messages show it."""
        return self.work.shown(path)
