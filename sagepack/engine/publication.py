"""What S3 holds of one package, and what has to be sent."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property, partial
from typing import TYPE_CHECKING

from sagepack.aws.s3 import S3Uri
from sagepack.engine import lazy
from sagepack.engine.plan import Content
from sagepack.errors import UserError
from sagepack.publish.keys import SBOM, Package
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.resumed import resumed
from sagepack.publish.upload.context import UnitWorkers, parts_at_a_time
from sagepack.publish.upload.sources import HubFiles, LocalFiles, NoSourceError, Source, Tally
from sagepack.publish.upload.units import announced
from sagepack.publish.verified import VerifiedObjects
from sagepack.text import format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sagepack.digest import Digest
    from sagepack.engine import unit, worker_check
    from sagepack.engine.clients import Clients
    from sagepack.engine.trust import Trust
    from sagepack.engine.unit_pool import UnitPool
    from sagepack.hub.cache_status import CacheStatus
    from sagepack.package.attest import provenance, sbom
    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.attest.provenance import Origin
    from sagepack.package.lock import Lock, LockedFile
    from sagepack.package.manifest import Manifest
    from sagepack.progress import Progress
    from sagepack.publish import gate, publisher, remote_check, remote_read, signatures, signing
    from sagepack.publish.publisher import Published
    from sagepack.publish.remote_check import PackageError
    from sagepack.publish.resumed import Resumed
    from sagepack.publish.signatures import SignedRelease
    from sagepack.publish.signing import SignedPackage
    from sagepack.publish.upload_plan import UploadPlan
    from sagepack.spec.model import Spec
else:
    gate = lazy.module("publish.gate")
    provenance = lazy.module("package.attest.provenance")
    publisher = lazy.module("publish.publisher")
    remote_check = lazy.module("publish.remote_check")
    remote_read = lazy.module("publish.remote_read")
    sbom = lazy.module("package.attest.sbom")
    signatures = lazy.module("publish.signatures")
    signing = lazy.module("publish.signing")
    unit = lazy.module("engine.unit")
    worker_check = lazy.module("engine.worker_check")


@dataclass(frozen=True)
class SignatureCheck:
    """What came of checking the signatures of a package: one of the two is None.

    Attributes:
        signed: what was signed, and is so.
        error: why not.
    """

    signed: SignedRelease | None
    error: UserError | PackageError | None

    @property
    def etag(self) -> str | None:
        """The ETag of the archive that was signed; None for a prefix, or if something is wrong."""
        return self.signed.release.etag if self.signed else None

    def require(self) -> SignedRelease:
        """What was signed.

        Raises:
            UserError: the package is not published, or not signed.
            PackageError: it is not what was signed, or signed by nobody who counts.
        """
        if self.signed is None:
            raise self.error or AssertionError
        return self.signed

    def require_mendable(self) -> None:
        """Accept a package that an upload completes, or signs.

        Raises:
            UserError: S3 does not say what it holds.
            PackageError: something else is there than what was signed.
        """
        match self.error:
            case None | remote_read.NotPublishedError() | remote_read.UnsignedError():
                return
            case remote_check.PackageError(findings=findings) if all(finding.missing for finding in findings):
                return
        raise self.error


@dataclass(frozen=True)
class Publication:
    """A package and its place in S3, which is looked at once.

    Attributes:
        clients: S3, and the Hub for what is not on this disk.
        spec, lock, manifest: what is published, and where to.
        cache_status: which of some model files are on this disk.
        hub_cache: folder that a download would write to.
        journals: folder for what an interrupted upload needs to continue.
        verified_path: folder in which this machine keeps what it knows of objects in S3.
        trust: who signs, and whose signatures count.
        stream: send from the Hub to S3 without the model on this disk.
        promoted: the package in S3 that is copied, if nothing is to be published from this machine.
        pool: what makes the units of the upload; None: threads of this process do all of it.
        promoted_keys: those that count for it.
    """

    clients: Clients
    spec: Spec
    lock: Lock
    manifest: Manifest
    cache_status: Callable[[Sequence[LockedFile]], CacheStatus]
    hub_cache: Path
    journals: Path
    verified_path: Path
    trust: Trust
    stream: bool
    promoted: S3Uri | None = None
    pool: UnitPool | None = None
    promoted_keys: tuple[Verifier, ...] = ()

    @cached_property
    def package(self) -> Package:
        """The keys of the package."""
        return Package.of(self.spec, self.manifest.digest)

    @cached_property
    def verified(self) -> VerifiedObjects:
        """What this machine knows of objects in S3."""
        return VerifiedObjects(self.verified_path)

    @cached_property
    def upload_plan(self) -> UploadPlan:
        """What S3 holds of the package, and what has to be sent.

        Raises:
            UserError: the bucket is not there, or the package that is to be copied is not there whole; or a key of `trust` cannot be
                used.
            PackageError: what is there is not what was signed, in a way that no upload can mend.
        """
        others = [S3Uri.parse(target) for target in self.spec.artifact.reuse_from]
        keys = self.promoted_keys if self.promoted else self.trust.keys
        with worker_pool(1, "signatures") as pool:
            checked = pool.submit(lambda: self.signature_check) if self.trust.keys else None
            observation = observe(
                self.clients.s3,
                self.package,
                self.manifest,
                others,
                verified=self.verified,
                promoted=self.promoted,
                signed=partial(signatures.known_release, keys=keys) if keys else None,
                must_sign=self.trust.must_sign,
                needs_sbom=self.needs_sbom,
            )
        if checked:
            checked.result().require_mendable()
        plan = plan_upload(observation, self.manifest, elsewhere=self._elsewhere)
        if self.promoted is not None and plan.missing:
            raise not_whole(self.promoted, plan.missing[0].path)
        return plan

    @cached_property
    def signature_check(self) -> SignatureCheck:
        """What the signatures beside the package say, and whether all is as they say; raises nothing."""
        return self.check_signatures()

    def check_signatures(self) -> SignatureCheck:
        """The same, as it is now."""
        try:
            found = gate.require_signed(
                self.clients.s3, self.package, lambda: self.manifest, self.trust.keys, self.verified
            )
        except (UserError, remote_check.PackageError) as error:
            return SignatureCheck(None, error)
        return SignatureCheck(found, None)

    @property
    def _elsewhere(self) -> frozenset[Digest]:
        """The contents that workers can read: those of the model, from the Hub or from files that they see."""
        if self.pool is None or self.promoted is not None or not (self.lock.revision or self.pool.reads_files):
            return frozenset()
        return frozenset(file.digest for file in self.lock.files)

    def _unit_workers(self, files: Mapping[Digest, Path], fetched: Tally) -> UnitWorkers | None:
        """Who makes the units of the plan; None where it has none."""
        plan, revision = self.upload_plan, self.lock.revision
        if self.pool is None or not plan.units:
            return None
        services = worker_check.services_of(self.clients, self.spec.aws.region, revision)
        largest = max(part.length for each in plan.units for part in each.parts)
        demand = worker_check.demand_of(
            services,
            self.package,
            max(self.missing_files, key=lambda file: file.size).path if self.missing_files else None,
            largest * parts_at_a_time(self.pool.connections, largest),
        )
        return UnitWorkers(
            partial(self.pool.executor, demand),
            unit.unit,
            services,
            {file.digest: file.path for file in self.lock.files} if revision else {},
            {digest: path for digest, path in files.items() if self.pool.reads_files and digest in self._elsewhere},
            self.pool.count,
            self.pool.connections,
            fetched,
        )

    def require_signed(self, progress: Progress) -> SignatureCheck:
        """Check, as it is now, that the package in S3 is what a key that counts has signed; for whatever is about to serve it.

        Args:
            progress: is told who signed it, and when.

        Raises:
            UserError: it is not published, or not signed.
            PackageError: it is not what was signed.
        """
        check = self.check_signatures()
        progress.note(f"the package is what {check.require().by}")
        return check

    def earlier_documents(self, made: bytes | None, bill: bytes | None) -> tuple[str, ...]:
        """Which documents beside the package were made from another lock: what is no file has no part in what the package is.

        Args:
            made: the provenance; None for none.
            bill: the bill of materials; None for none.
        """
        found = []
        if made is not None and not provenance.same_build(made, self._provenance()):
            found.append("provenance.json")
        if bill is not None and not sbom.same_contents(bill, self._sbom):
            found.append(SBOM)
        return tuple(found)

    def _provenance(self, origin: Origin | None = None) -> bytes:
        return provenance.text(provenance.statement(self.spec, self.lock, self.manifest, origin))

    @property
    def _sbom(self) -> bytes:
        return sbom.text(sbom.document(self.spec, self.lock, self.manifest))

    @property
    def needs_sbom(self) -> bool:
        """Whether a bill of materials is published with the package."""
        return self.spec.trust.sbom != "none"

    @property
    def missing_files(self) -> tuple[LockedFile, ...]:
        """The model files whose content is not in S3."""
        missing = {member.path for member in self.upload_plan.missing}
        return tuple(file for file in self.lock.files if file.path in missing)

    @cached_property
    def stream_reason(self) -> str | None:
        """Why what is missing in S3 goes there from the Hub without touching this disk; None if it does not."""
        if self.lock.revision is None or self.promoted is not None:
            return None  # a model in a folder is on this disk, or cannot be had; what is promoted is in S3
        if self.stream:
            return "--stream"
        if self.pool is not None:
            return self.pool.name
        need = self.cache_status(self.missing_files).bytes_missing
        folder = self.hub_cache
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        return f"{format_bytes(need)} do not fit the {format_bytes(free)} that are free" if need > free else None

    @property
    def streamed_bytes(self) -> int:
        """Bytes that would come from the Hub while they are sent."""
        return sum(file.size for file in self.missing_files) if self.stream_reason else 0

    @property
    def division(self) -> str | None:
        """How the upload divides among workers, in words; None if they have no part in it."""
        units = self.upload_plan.units
        return announced(units, self.pool.count) if self.pool is not None and units else None

    def transfer_table(self) -> tuple[Content, ...]:
        """For each file of the package, the bytes that move, and where S3 copies from and why that is believed."""
        from_hub = {file.path for file in self.cache_status(self.missing_files).missing}
        return tuple(
            Content(
                path=content.member.path,
                size=content.member.size,
                copied=content.copied,
                sent=max(0, content.sent + content.borrowed - self.resumed.by_path.get(content.member.path, 0)),
                fetched=content.borrowed + (content.member.size if content.member.path in from_hub else 0),
                read=content.read,
                source=str(content.origin.seen.location) if content.origin else None,
                binding=content.origin.binding.value if content.origin else None,
            )
            for content in self.upload_plan.contents
        )

    @cached_property
    def resumed(self) -> Resumed:
        """What an interrupted upload of the plan sent before, and S3 has."""
        return resumed(self.upload_plan, self.journals, self.clients.s3)

    def sign(self, progress: Progress) -> SignedPackage:
        """Sign the package that is published, after all of it was compared with lock and code.

        Raises:
            UserError: it is not published, or there is no key to sign with.
            RemoteError: S3 or AWS KMS failed after retries.
            PackageError: it is not what lock and code make.
        """
        if told := self.trust.made_public:
            progress.note(told)
        signer = self.trust.ready_signer()
        if signer is None:
            fix = "set it in the spec or the overlay, or give it here: --set trust.sign=kms:alias/NAME"
            raise UserError("no key is named to sign with", where="trust.sign", fix=fix)
        made = self._provenance()
        packaged = signing.PackageSigner(
            self.clients.s3, self.package, self.manifest, made, self._sbom, self.verified, progress
        )
        return packaged.sign(signer, self.trust.keys, datetime.now(timezone.utc))

    def publish(self, files: Mapping[Digest, Path], origin: Origin, progress: Progress) -> Published:
        """Publish the package.

        Args:
            files: contents that are on this disk and are as their digests say.
            origin: who builds, and from what.
            progress: where it is reported.

        Raises:
            UserError: credentials, permissions, or a bucket that SageMaker cannot read from.
            RemoteError: S3 or the Hub failed after retries.
            IntegrityError: S3's bytes are not the archive's, or a content is not what the manifest says.
        """
        signer = self.trust.ready_signer()  # one that cannot sign is told before anything is sent
        sources: list[Source] = [LocalFiles(files)]
        fetched = Tally()
        if (revision := self.lock.revision) and self.promoted is None:
            hub_files = {file.digest: file.path for file in self.lock.files}
            sources.append(HubFiles(fetched.counting(partial(self.clients.hub.open, revision)), hub_files))
        try:
            published = publisher.publish(
                self.clients.s3,
                self.upload_plan,
                sources,
                self.journals,
                provenance=self._provenance(origin),
                sbom=self._sbom if self.needs_sbom else None,
                progress=progress,
                verified=self.verified,
                units=self._unit_workers(files, fetched),
                signer=signer,
            )
            return replace(published, fetched_bytes=fetched.total)
        except NoSourceError as error:
            if self.promoted is None:
                raise
            raise not_whole(self.promoted, str(error.where)) from error


def not_whole(promoted: S3Uri, path: str) -> UserError:
    """The error for a package that cannot be copied: what its index says of a file is not so, or there is no index."""
    return UserError(
        f"the package that is to be promoted is not there whole: {path} or its index is missing, or is not what was released",
        where=str(promoted),
        fix="run `invoke upload --env ENV` for the environment that it is promoted from, then the same command again",
    )
