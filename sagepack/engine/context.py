"""One run: the spec, where its files lie, and what the steps share, each looked up once."""

from __future__ import annotations

import posixpath
from functools import cached_property
from typing import TYPE_CHECKING, Any

from msgspec import field, structs

from sagepack import hub
from sagepack.decoding import Value
from sagepack.engine import lazy
from sagepack.engine.records import Record, Records
from sagepack.engine.verdicts import Verdicts
from sagepack.errors import SpecError, UserError
from sagepack.hub.cache import RepoCache
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.folder import ModelFolder
from sagepack.hub.hash_cache import HashCache
from sagepack.package.contents import manifest_of
from sagepack.package.lock import MAX_BYTES, Lock, OldLockError
from sagepack.package.requirements import listing
from sagepack.spec import code_tree, images, secrets
from sagepack.spec.code_tree import REQUIREMENTS
from sagepack.spec.inspection import Inspection
from sagepack.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from pathlib import Path

    from sagepack.deploy import deployment, observe
    from sagepack.engine import cluster, local_model, publication, trust, unit_pool
    from sagepack.engine.clients import Clients
    from sagepack.engine.plan import Step
    from sagepack.engine.promotion import Promotion
    from sagepack.engine.workspace import Workspace
    from sagepack.errors import Diagnostic, KeyPath
    from sagepack.hub.cache_status import CacheStatus
    from sagepack.package.lock import LockedFile
    from sagepack.package.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.spec.code_tree import CodeTree
    from sagepack.spec.model import Spec
    from sagepack.spec.program import check as program
    from sagepack.spec.secrets import texts
else:
    cluster = lazy.module("engine.cluster")
    deployment = lazy.module("deploy.deployment")
    observe = lazy.module("deploy.observe")
    local_model = lazy.module("engine.local_model")
    program = lazy.module("spec.program.check")
    publication = lazy.module("engine.publication")
    unit_pool = lazy.module("engine.unit_pool")
    trust = lazy.module("engine.trust")
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
        workers: processes of this machine, or an executor, that make the units of an upload; 0: threads of this process do all of it.
        set_keys: the keys that a lock is made from and `--set` gave.
        smoke: try the endpoint after a deployment, as the spec says (not `--no-smoke`).
        recreate: requests may be lost with an endpoint whose status allows nothing but to delete it.
        why_no_answers: says why no endpoint can answer a request here, or None; it may ask the sandbox.
        promotion: the package that is copied, if nothing is to be made or published from this machine.
        renew: resolve again what the lock holds for ranges of versions (`lock --update`).
        remote: publish by a job in the region.
        declared: the merged data of the spec.
        where: the place of a key of the spec, for messages.
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
    workers: int | Executor = 0
    set_keys: tuple[str, ...] = ()
    smoke: bool = True
    recreate: bool = False
    why_no_answers: Callable[[], str | None] = lambda: None
    promotion: Promotion | None = None
    renew: bool = False
    remote: bool = False
    declared: Mapping[str, Any] = field(default_factory=dict)
    where: Callable[[KeyPath], str] = lambda path: ".".join(map(str, path))

    def refreshed(self) -> BuildContext:
        """The same run without what it has looked up: another step, or another command, has changed files. Who logged in stays."""
        again = structs.replace(self)
        if "trust" in vars(self):
            vars(again)["trust"] = self.trust
        return again

    @property
    def records(self) -> Records:
        """What each step did last."""
        return Records(self.work.build_path / "records")

    @cached_property
    def verdicts(self) -> Verdicts:
        """What is known of the content of the model's files."""
        return Verdicts.load(self.records)

    @property
    def clients(self) -> Clients:
        """The clients of the services."""
        return self.connect(self.hub_cache)

    @property
    def model_files(self) -> RepoCache | ModelFolder:
        """Where the content of the locked files lies: in the Hugging Face cache, or in the model's folder.

        Raises:
            UserError: there is no lock that is up to date with the spec.
        """
        revision = self.required_lock().revision
        return RepoCache(self.hub_cache, revision) if revision else self.model_folder

    @property
    def model_folder(self) -> ModelFolder:
        """The folder that `model.path` names, whether or not it is on this machine."""
        name = self.spec.model.path or ""
        return ModelFolder(self.work.root / name, name)

    @cached_property
    def folder_content(self) -> local_model.FolderContent | None:
        """What is in the model's folder; None if the model is in a repository, or the folder is not on this machine.

        Raises:
            UserError: the folder has no model.
            SpecError: a file holds a secret, or something that no package can hold.
        """
        if self.spec.model.path is None or not self.model_folder.folder.is_dir():
            return None
        known = self._clean_files("model-inspection")
        inspection = Inspection(texts, self.spec.not_secret, known)
        found = local_model.read(self.model_folder, self.spec.model, self.hash_cache, inspection, self.progress)
        self._save_clean("model-inspection", known, inspection)
        return found

    @cached_property
    def folder_changes(self) -> tuple[str, ...]:
        """What in the model's folder is not as locked, in words. Nothing is known of a folder that is not on this machine."""
        if self.lock is None or self.folder_content is None:
            return ()
        return local_model.changes(self.model_folder, self.lock.files, self.folder_content.files)

    @cached_property
    def hash_cache(self) -> HashCache:
        """Digests of files that have not changed since they were hashed."""
        return HashCache((self.work.output or self.work.root) / "build" / "hash-cache.json")

    @property
    def lock(self) -> Lock | None:
        """The lock on this disk, whether or not it is up to date with the spec; None for one of an earlier version, too.

        Raises:
            UserError: the file is not a lock.
        """
        return self._lock if isinstance(self._lock, Lock) else None

    @property
    def why_no_lock(self) -> str:
        """Why there is no lock, if there is none."""
        return str(self._lock)

    @cached_property
    def _lock(self) -> Lock | str:
        where = self.display(self.work.lock_path)
        try:
            with self.work.lock_path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except FileNotFoundError:
            return f"{where} is missing"
        except OSError as error:
            raise UserError(f"cannot read the lock: {error.strerror}", where=where) from error
        try:
            return Lock.parse(data, where)
        except OldLockError as error:
            return f"{where}: {error.message}"

    @property
    def current_lock(self) -> Lock | None:
        """The lock, if it is up to date with the spec and with the model's folder."""
        lock = self.lock
        return lock if lock is not None and lock.is_current(self.spec) and not self.folder_changes else None

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
        """The inference code as it was when the run began, with the list of requirements that follows from the lock.

        Raises:
            UserError: the spec has requirements, and no lock is up to date with it.
            SpecError: code or sample hold a secret, or something that no package can hold, or the code cannot serve.
        """
        source, sample = self.spec.code, self.spec.sample
        listed = listing.text(self.required_lock(), vendored=source.vendor) if source.requirements else ""
        known = self._clean_files("inspection")
        inspection = Inspection(texts, self.spec.not_secret, known)
        tree = code_tree.scan(self.work.root, source.folders, {REQUIREMENTS: listed} if listed else {}, inspection)
        if sample and sample.file:
            inspection.read_sample(self.work.root / sample.file, posixpath.normpath(sample.file))
        if source.vendor and (own := next((file for file in tree.files if file.path.startswith(listing.WHEELS)), None)):
            inspection.report(own.path, "the wheels of code.requirements go into this folder", "rename it in the code")
        if inspection.diagnostics:
            raise SpecError(inspection.diagnostics, "the files of this project")
        self._checked_program(tree)
        self._save_clean("inspection", known, inspection)
        return tree

    @cached_property
    def code_warnings(self) -> tuple[Diagnostic, ...]:
        """What is wrong with the inference code, but not wrong enough to refuse it.

        Raises:
            UserError: as `code`.
        """
        return self._checked_program(self.code)

    def _checked_program(self, tree: CodeTree) -> tuple[Diagnostic, ...]:
        """The warnings about code that can serve, of the last check if the same code passed before for the same image.

        Raises:
            SpecError: it cannot serve.
        """
        image, name = self.spec.image, self.spec.environment.get("SAGEMAKER_PROGRAM", "inference.py")
        tag = image.tag if image.repository == images.repository() else ""
        is_isolated, offline = self.spec.endpoint.enable_network_isolation, self.spec.environment.get("HF_HUB_OFFLINE")
        place = {"isolated": is_isolated, "offline": offline, "model": self.spec.model.id}
        declared = self.spec.code.requirements
        brought = listing.modules(self.required_lock().packages) if declared else ()
        modules = None if brought is None else list(brought)  # as JSON has it: what is read again is compared
        inputs = {"by": __version__, "program": name, "tag": tag, "code": tree.inputs, "modules": modules, **place}
        last = self.records.load("program")
        if last and last.inputs == inputs and (known := last.warnings) is not None:
            return known
        target = program.Target(
            name,
            tag,
            requirements=declared if brought is None else (),
            modules=brought or (),
            is_isolated=bool(is_isolated),
            is_offline=program.is_offline(offline),
            model=self.spec.model.id or "",
        )
        found = program.check(tree.files, self.work.root, target)
        if wrong := [diagnostic for diagnostic in found if diagnostic.severity == "error"]:
            raise SpecError(wrong, "the code")
        self.records.remember(Record.of_check("program", inputs, found))
        return tuple(found)

    def _save_clean(self, record: str, known: dict[str, str], inspection: Inspection) -> None:
        if inspection.clean != known:
            self.records.remember(Record(record, secrets.VERSION, {"by": __version__, "clean": inspection.clean}, {}))

    def _clean_files(self, record: str) -> dict[str, str]:
        """Digests of the files in which this version has found no secret."""
        last = self.records.load(record)
        if last is None or last.version != secrets.VERSION or last.inputs.get("by") != __version__:
            return {}
        clean: dict[str, str] = last.inputs["clean"]
        return clean

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest of the package that lock and code make."""
        return manifest_of(self.required_lock(), self.code, vendored=self.spec.code.vendor)

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
            self.work.build_path / "upload",
            self.work.root / "build" / "verified",
            self.trust,
            self.stream,
            self.promotion.package if self.promotion else None,
            self._unit_pool(),
            self.promotion.keys if self.promotion else (),
        )

    def _unit_pool(self) -> unit_pool.UnitPool | None:
        """Who makes the units of the upload: what the caller names goes before what the spec declares."""
        if self.remote:  # the job has workers of its own
            return None
        if not isinstance(self.workers, int):
            return unit_pool.given(self.workers)
        if self.workers:
            return unit_pool.processes(self.workers, self.clients.connections)
        declared = self.spec.cluster
        if declared is None or self.spec.model.path is not None:  # a folder is on no other machine
            return None
        return cluster.pool(declared, self.work.root, self.progress)

    @cached_property
    def trust(self) -> trust.Trust:
        """The keys that sign and verify."""
        return trust.Trust(self.spec.trust, self.work.root, lambda: self.clients.aws)

    @property
    def pinned_deployment(self) -> deployment.Deployment:
        """The same as `deployment`, with the ETag of the package, where signatures count and it is published."""
        if not self.spec.trust.verify or not self.publication.upload_plan.done:
            return self.deployment
        return self.deployment.pinned(self.publication.signature_check.etag)

    @cached_property
    def deployment(self) -> deployment.Deployment:
        """The deployment that spec, lock and code declare."""
        uri = str(self.publication.package.model_uri)
        return deployment.Deployment.of(self.spec, self.required_lock(), uri, self.manifest.digest)

    @cached_property
    def endpoint(self) -> observe.EndpointState | None:
        """The endpoint and what belongs to it, as AWS describes them; None if there is none."""
        return observe.observe_declared(self.clients.aws, self.deployment)

    def required_files(self) -> tuple[LockedFile, ...]:
        """The model files that the steps of the goal read from this disk; all of them if none says which."""
        readers = [step.model_files for step in self.steps if step.model_files]
        if not readers:
            return self.required_lock().files
        required = {file for read in readers for file in read(self)}
        return tuple(file for file in self.required_lock().files if file in required)

    def cache_status(self, files: Sequence[LockedFile]) -> CacheStatus:
        """Which of some model files are on this disk."""
        return scan_cache(self.model_files, files, self.hash_cache)

    def display(self, path: Path) -> str:
        """`path` as messages show it."""
        return self.work.display(path)
