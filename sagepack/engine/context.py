"""One run: the spec, where its files lie, and what the steps share, each looked up once."""

from __future__ import annotations

import posixpath
from functools import cached_property
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack import hub
from sagepack.decoding import Value
from sagepack.engine import lazy
from sagepack.engine.records import Record, Records
from sagepack.errors import SpecError, UserError
from sagepack.hub.cache import RepoCache
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.hash_cache import HashCache
from sagepack.package.contents import manifest_of
from sagepack.package.lock import MAX_BYTES, Lock
from sagepack.spec import code_tree, secrets
from sagepack.spec.inspection import Inspection
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sagepack.engine import publication
    from sagepack.engine.clients import Clients
    from sagepack.engine.plan import Step
    from sagepack.engine.workspace import Workspace
    from sagepack.hub.cache_status import CacheStatus
    from sagepack.package.lock import LockedFile
    from sagepack.package.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.spec.code_tree import CodeTree
    from sagepack.spec.model import Spec
    from sagepack.spec.secrets import texts
else:
    publication = lazy.module("engine.publication")
    texts = lazy.module("spec.secrets.texts")


class BuildContext(Value, frozen=True, eq=False, dict=True):
    """What a run is for and what it knows. Nothing is looked up before a step needs it.

    Attributes:
        spec: the validated spec.
        work: where its files lie.
        steps: the steps that the goal takes, in order.
        connect: makes the clients for a Hugging Face cache folder, once (it may start the sandbox).
        hub_cache: Hugging Face cache folder (that of all repositories).
        progress: where the steps report to.
        keep_lock: fail rather than make or change the lock (`--locked`).
        stream: publish from the Hub to S3 without the model on this disk.
        connections: most connections to the Hub at once.
    """

    spec: Spec
    work: Workspace
    steps: tuple[Step[BuildContext], ...]
    connect: Callable[[Path], Clients]
    hub_cache: Path
    progress: Progress
    keep_lock: bool = False
    stream: bool = False
    connections: int = hub.CONNECTIONS

    def refreshed(self) -> BuildContext:
        """The same run without what it has looked up: another step, or another command, has changed files."""
        return structs.replace(self)

    @property
    def records(self) -> Records:
        """What each step did last."""
        return Records(self.work.build_path / "records")

    @property
    def clients(self) -> Clients:
        """The clients of the services."""
        return self.connect(self.hub_cache)

    @property
    def cache(self) -> RepoCache:
        """The locked revision in the Hugging Face cache.

        Raises:
            UserError: there is no lock that is up to date with the spec.
        """
        return RepoCache(self.hub_cache, self.required_lock().revision)

    @cached_property
    def hash_cache(self) -> HashCache:
        """Digests of files that have not changed since they were hashed."""
        return HashCache(self.work.root / "build" / "hash-cache.json")

    @cached_property
    def lock(self) -> Lock | None:
        """The lock on this disk, whether or not it is up to date with the spec.

        Raises:
            UserError: the file is not a lock.
        """
        where = self.display(self.work.lock_path)
        try:
            with self.work.lock_path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"cannot read the lock: {error.strerror}", where=where) from error
        return Lock.parse(data, where)

    @property
    def current_lock(self) -> Lock | None:
        """The lock, if it is up to date with the spec."""
        return self.lock if self.lock is not None and self.lock.is_current(self.spec) else None

    def required_lock(self) -> Lock:
        """The lock that is up to date with the spec.

        Raises:
            UserError: there is none.
        """
        if self.current_lock is None:
            where = self.display(self.work.lock_path)
            raise UserError("there is no lock for this spec", where=where, fix="run `invoke lock`")
        return self.current_lock

    @cached_property
    def code(self) -> CodeTree:
        """The inference code as it was when the run began.

        Raises:
            SpecError: code or sample hold a secret, or something that no package can hold.
        """
        source, sample = self.spec.code, self.spec.sample
        known = self._clean_files()
        inspection = Inspection(texts, self.spec.not_secret, known)
        tree = code_tree.scan(self.work.root, source.folders, source.requirements, inspection)
        if sample and sample.file:
            inspection.read_sample(self.work.root / sample.file, posixpath.normpath(sample.file))
        if inspection.diagnostics:
            raise SpecError(inspection.diagnostics, "the files of this project")
        if inspection.clean != known:
            self.records.remember(
                Record("inspection", secrets.VERSION, {"by": __version__, "clean": inspection.clean}, {})
            )
        return tree

    def _clean_files(self) -> dict[str, str]:
        """Digests of the files in which this version has found no secret."""
        last = self.records.load("inspection")
        if last is None or last.version != secrets.VERSION or last.inputs.get("by") != __version__:
            return {}
        clean: dict[str, str] = last.inputs["clean"]
        return clean

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the package that lock and code make."""
        return manifest_of(self.required_lock(), self.code)

    @cached_property
    def publication(self) -> publication.Publication:
        """The package's place in S3. A run that does not publish imports nothing of it."""
        return publication.Publication(
            self.clients,
            self.spec,
            self.required_lock(),
            self.manifest,
            self.cache_status,
            self.hub_cache,
            self.work.root / "build" / "verified",
            self.stream,
        )

    def required_files(self) -> tuple[LockedFile, ...]:
        """The model files that the steps of the goal read from this disk; all of them if none says which."""
        readers = [step.model_files for step in self.steps if step.model_files]
        if not readers:
            return self.required_lock().files
        required = {file for read in readers for file in read(self)}
        return tuple(file for file in self.required_lock().files if file in required)

    def cache_status(self, files: Sequence[LockedFile]) -> CacheStatus:
        """Which of some model files are on this disk."""
        return scan_cache(self.cache, files, self.hash_cache)

    def display(self, path: Path) -> str:
        """`path` as messages show it."""
        return self.work.display(path)
