"""A spec of a project in one environment, and what can be done with it: the Python API, which the tasks call too."""

from __future__ import annotations

from contextlib import nullcontext, suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import structs

from sagepack import hub
from sagepack.api import results, session
from sagepack.api.session import Selection, load, open_context
from sagepack.engine import executor, lazy
from sagepack.engine.outputs import Archive
from sagepack.engine.steps import GOALS
from sagepack.errors import UserError
from sagepack.progress import Heard, Silent
from sagepack.spec import project_folder
from sagepack.spec.model import COMMIT
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sagepack.api import (
        cleaning,
        collecting,
        comparing,
        direct,
        exporting,
        invocations,
        judging,
        leaving,
        live,
        promoting,
        review,
        rolling_back,
        served_package,
        serving,
        trial,
        watching,
    )
    from sagepack.api.review import ReviewedPlan
    from sagepack.aws import s3
    from sagepack.deploy import exchange, fleet, waiter
    from sagepack.deploy.origin import Origin
    from sagepack.deploy.preflight import asking, check
    from sagepack.engine import policies, preflight
    from sagepack.engine import verify as verifying
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action
    from sagepack.errors import Diagnostic
    from sagepack.package.attest import provenance
    from sagepack.package.attest import sbom as bills
    from sagepack.progress import Progress
    from sagepack.publish import cleanup, remote_read
    from sagepack.scaffold import project as scaffold
    from sagepack.serving import image as containers
    from sagepack.serving import model_server
    from sagepack.spec.model import Spec
else:
    asking = lazy.module("deploy.preflight.asking")
    bills = lazy.module("package.attest.sbom")
    cleaning = lazy.module("api.cleaning")
    comparing = lazy.module("api.comparing")
    check = lazy.module("deploy.preflight.check")
    collecting = lazy.module("api.collecting")
    cleanup = lazy.module("publish.cleanup")
    containers = lazy.module("serving.image")
    direct = lazy.module("api.direct")
    exporting = lazy.module("api.exporting")
    fleet = lazy.module("deploy.fleet")
    invocations = lazy.module("api.invocations")
    leaving = lazy.module("api.leaving")
    judging = lazy.module("api.judging")
    live = lazy.module("api.live")
    model_server = lazy.module("serving.model_server")
    policies = lazy.module("engine.policies")
    preflight = lazy.module("engine.preflight")
    promoting = lazy.module("api.promoting")
    provenance = lazy.module("package.attest.provenance")
    remote_read = lazy.module("publish.remote_read")
    review = lazy.module("api.review")
    rolling_back = lazy.module("api.rolling_back")
    s3 = lazy.module("aws.s3")
    served_package = lazy.module("api.served_package")
    serving = lazy.module("api.serving")
    trial = lazy.module("api.trial")
    watching = lazy.module("api.watching")
    scaffold = lazy.module("scaffold.project")
    verifying = lazy.module("engine.verify")
    waiter = lazy.module("deploy.waiter")


class Project:
    """One spec of a project in one environment. Nothing is read before a method needs it.

    Every method that works with the spec raises `UserError` if it cannot be read or is wrong (`SpecError`, with everything
    that is wrong); what else it raises, it says.

    Args:
        root: the project's folder, which holds `config/env/`, or a folder in it; by default the working folder.
        config: the spec's file, as a path from the working folder or from the project's; by default the only one in `config/`.
        env: the environment, a file in `config/env/`; `local` is the sandbox.
        sets: settings such as `endpoint.instance_type=ml.g5.xlarge`, laid over spec and environment.
        progress: gets the progress of long work; by default nobody does.

    Attributes:
        root: the project's folder.
        selection: what this was made with.
        spec: which spec it is; None until a method has read it.
        warnings: what is wrong with the spec and its code, but not wrong enough to refuse it; empty until a method has read them.
    """

    def __init__(
        self,
        root: str | Path = ".",
        config: str | Path = "",
        env: str = "local",
        sets: str | Sequence[str] = (),
        progress: Progress | None = None,
    ) -> None:
        self.root = project_folder.find(Path(root).absolute()) or Path(root).absolute()
        self.selection = Selection(self.root, str(config), env, (sets,) if isinstance(sets, str) else tuple(sets))
        self.spec: results.SpecReference | None = None
        self.progress: Progress = progress or Silent()
        self.warnings: tuple[Diagnostic, ...] = ()

    def __repr__(self) -> str:
        return f"Project({str(self.root)!r}, {self.selection.config!r}, {self.selection.env!r})"

    def validate(self) -> results.Validated:
        """Check the spec and the files that it names: every mistake at once."""
        spec = self._load(contents=True)
        return results.Validated(self.selection.shown, spec.name, spec.env)

    def lock(self, *, update: bool = False, pin: bool = False, locked: bool = False) -> results.Locked:
        """Resolve revision, files, image and requirements, and write the lock if it is not up to date.

        The schemas in `config/.schemas/` become those of this version of the program.

        Args:
            update: resolve again even if the lock is up to date with the spec.
            pin: first write the commit into the spec, in place of the branch that it names.
            locked: fail rather than write it.

        Raises:
            UserError: the model, the image or a requirement does not exist, or may not be seen; or the spec has no branch in
                a file to write a commit in place of.
            RemoteError: the Hub or a registry failed after retries.
        """
        pinned = self._pin(locked=locked) if pin else None
        context = self._open("lock", locked=locked, branch_allowed=True, renew=update)
        before = None
        if update:
            # Whatever the file holds, it is made again.
            with suppress(UserError):
                before = context.lock
            with executor.exclusive(context):
                context.steps[-1].run(context)
        else:
            before = context.lock
            executor.run(context)
        if not locked:
            scaffold.refresh_schemas(self.root)  # beside the lock, which names one of them
        after = context.refreshed().required_lock()
        return results.Locked(
            path=context.display(context.work.lock_path),
            repo=after.revision.repo if after.revision else None,
            commit=after.revision.commit if after.revision else None,
            folder=after.folder,
            files=len(after.files),
            size=after.size,
            changed=after != before,
            pinned=pinned,
            packages=tuple(
                results.AddedPackage(each.name, each.version, each.size, each.image)
                for each in after.packages
                if not each.in_image
            ),
            license=str(after.license) if after.license else None,
            gated=after.gated,
            accepted=tuple(file.path for file in after.files if file.accepted),
        )

    def scan(self) -> results.Scanned:
        """Judge each model file by its content, from a few ranges of it: of the lock, or those that `lock` would take.

        Whatever was found before, the files are read again. Nothing is refused: `exit_code` says what `lock` would do.

        Raises:
            UserError: the model does not exist, or may not be seen.
            RemoteError: the Hub failed after retries.
        """
        return judging.scan(self._open("lock", branch_allowed=True))

    def plan(
        self, to: str = "package", *, locked: bool = False, stream: bool = False, workers: int = 0, remote: bool = False
    ) -> results.Plan:
        """What would run to reach a step, and why. Changes nothing.

        Args:
            to: a step, or `package`.
            locked: fail if the lock would be made or changed.
            stream: plan to publish from the Hub to S3 without the model on this disk.
            workers: processes of this machine that make what is published; 0: threads of this one.
            remote: plan to publish by a job in the region.

        Raises:
            UserError: there is no such step, or `remote` and the spec declares no job.
            RemoteError: S3 or SageMaker failed after retries; only the steps `upload` and `deploy` ask them.
        """
        return self._plan(to, locked=locked, stream=stream, workers=workers, remote=remote)[1]

    def review(
        self, to: str = "deploy", *, locked: bool = False, stream: bool = False, workers: int = 0, remote: bool = False
    ) -> ReviewedPlan:
        """A plan that `deploy` can be held to, also from a file and on another machine. Raises as `plan`.

        Raises:
            UserError: no lock is up to date with the spec, so that nobody knows yet what would be deployed.
        """
        return review.ReviewedPlan.of(*self._plan(to, locked=locked, stream=stream, workers=workers, remote=remote))

    @property
    def is_protected(self) -> bool:
        """Whether a person has to agree before the environment is changed. The methods here do not ask."""
        return self._load().protected

    def build(
        self,
        goal: str = "package",
        *,
        locked: bool = False,
        stream: bool = False,
        connections: int = hub.CONNECTIONS,
        workers: int = 0,
        plan: ReviewedPlan | None = None,
        smoke: bool = True,
        recreate: bool = False,
        remote: bool = False,
    ) -> results.Built:
        """Run the steps that a goal needs.

        Args:
            goal: a step, or `package`.
            locked: fail rather than make or change the lock.
            stream: publish from the Hub to S3 without the model on this disk.
            connections: most connections to the Hub at once.
            workers: processes of this machine that make what is published, and stream what is not on this disk; 0: threads
                of this process. A script that uses it begins with `if __name__ == "__main__":`, since each process imports it.
            plan: do what this plan says, or nothing.
            smoke: send the sample to an endpoint that serves something new, as the spec says; False sends nothing.
            recreate: also delete and create again an endpoint that was released and has failed since, with the requests in
                its queue; a plan that was looked at and says so does as well.
            remote: publish by a SageMaker Processing job in the region, and follow it; the spec's `remote` says in which role.

        Raises:
            UserError: something that the user can fix, such as a gate, a quota or a full disk; or what would be done is
                not what the plan says; or an endpoint that was released has to be deleted.
            RemoteError: a service failed after retries, the endpoint did not come into service, or it did not answer the
                sample as expected: then the release before was put back.
            IntegrityError: bytes are not what the lock says.
        """
        context = self._open(
            goal,
            locked=locked,
            stream=stream,
            connections=connections,
            workers=workers,
            smoke=smoke,
            recreate=recreate or plan is not None,
            remote=remote,
        )
        context, actions = executor.run(context, plan.check if plan else None)
        return self._built(goal, context, actions)

    def package(self, *, locked: bool = False, connections: int = hub.CONNECTIONS) -> results.Built:
        """Make the local archive: `build("package")`."""
        return self.build("package", locked=locked, connections=connections)

    def upload(
        self,
        *,
        locked: bool = False,
        stream: bool = False,
        connections: int = hub.CONNECTIONS,
        workers: int = 0,
        remote: bool = False,
    ) -> results.Built:
        """Publish the package, and send only what S3 does not have: `build("upload")`."""
        return self.build(
            "upload", locked=locked, stream=stream, connections=connections, workers=workers, remote=remote
        )

    def deploy(
        self,
        *,
        locked: bool = False,
        stream: bool = False,
        connections: int = hub.CONNECTIONS,
        workers: int = 0,
        plan: ReviewedPlan | None = None,
        smoke: bool = True,
        recreate: bool = False,
        remote: bool = False,
    ) -> results.Built:
        """Publish the package, make the endpoint serve it, and see that it answers: `build("deploy")`."""
        return self.build(
            "deploy",
            locked=locked,
            stream=stream,
            connections=connections,
            workers=workers,
            plan=plan,
            smoke=smoke,
            recreate=recreate,
            remote=remote,
        )

    def promote(
        self,
        from_env: str,
        *,
        release: str = "",
        plan: ReviewedPlan | None = None,
        smoke: bool = True,
        recreate: bool = False,
    ) -> results.Built:
        """Deploy here what was deployed in another environment: its package is copied inside S3, and nothing is made again.

        The lock of this environment and the code must make the same package, and the locks must name the same image.

        Args:
            from_env: the other environment.
            release: which of its releases, as in `diff`; the one that serves if left out.
            plan: do what this plan of `review_promotion` says, or nothing.
            smoke: send the sample to the endpoint afterwards, as `build` does.
            recreate: as in `build`.

        Raises:
            UserError: there is no such release, S3 cannot copy its package, or it is not what this lock and code make; as `build`
                otherwise.
            RemoteError: a service failed after retries, or the endpoint did not come into service.
            IntegrityError: the copy is not what the manifest says.
        """
        source, context = self._promotion(
            from_env, release, survives=True, smoke=smoke, recreate=recreate or plan is not None
        )
        with promoting.explained(source, context):
            context, actions = executor.run(context, plan.check if plan else None)
        return self._built("deploy", context, actions)

    def review_promotion(self, from_env: str, *, release: str = "") -> ReviewedPlan:
        """What `promote` would do, and why. Changes nothing; raises as `promote`."""
        source, context = self._promotion(from_env, release)
        with promoting.explained(source, context):
            return review.ReviewedPlan.of(*self._planned("deploy", context))

    def verify(self, *, rebuild: bool = False) -> results.Verified:
        """Check every byte of the local archive against its manifest.

        Args:
            rebuild: build it again from nothing, too, and compare the bytes.

        Raises:
            UserError: there is no archive.
            IntegrityError: it is not what its manifest says.
        """
        context = self._open("package")
        found = (verifying.verify_rebuild if rebuild else verifying.verify_local)(context)
        archive = Archive(context.display(context.work.archive_path), found.size, found.sha256.value)
        return results.Verified(archive, len(found.contents), rebuild)

    def sign(self) -> results.Signed:
        """Sign the package that is published, after all of it was compared with what lock and code make.

        Raises:
            UserError: it is not published, or the key that `trust.sign` names cannot be used.
            RemoteError: S3 or AWS KMS failed after retries.
            IntegrityError: it is not what lock and code make; nothing was signed.
        """
        context = self._open("upload")
        publication = context.publication
        with executor.exclusive(context):
            found = publication.sign(self.progress)
        signer = publication.trust.signer
        return results.Signed(
            artifact=str(publication.package.model_uri),
            manifest=str(context.manifest.digest),
            key=signer.public.name if signer else "",
            hint=signer.public.hint if signer else "",
            before=found.before.key if found.before else None,
            changed=found.changed,
            bytes_read=found.bytes_read,
        )

    def sbom(self, spec_version: str = "1.6") -> results.Sbom:
        """The bill of materials of the package that lock and code make. It asks no service, and needs neither model nor archive.

        Args:
            spec_version: of CycloneDX, `1.6` or `1.7`.

        Raises:
            UserError: there is no such version, or no lock that is up to date.
        """
        if spec_version not in results.SBOM_VERSIONS:
            fix = f"choose one of {', '.join(results.SBOM_VERSIONS)}"
            raise UserError(
                f"no bill of materials is written in version {spec_version!r}", where="--spec-version", fix=fix
            )
        context = self._open("checksum")
        document = bills.document(context.spec, context.required_lock(), context.manifest, spec_version)
        return results.Sbom(spec_version, document)

    def verify_remote(self, *, deep: bool = False) -> results.VerifiedRemote:
        """Check what S3 holds of the package that lock and code make.

        Args:
            deep: read and hash every byte of it, rather than its records, checksums and ETags.

        Raises:
            UserError: it is not published.
            IntegrityError: it is not what the manifest says, or not what a key that counts has signed.
        """
        context = self._open("upload")
        publication, manifest = context.publication, context.manifest
        with self.progress.activity("asking S3 what it holds of the package"):
            found = remote_read.verify(
                context.clients.s3,
                publication.package,
                manifest,
                self.progress,
                verified=publication.verified,
                keys=publication.trust.keys,
                deep=deep,
            )
        signature, documents = found.signature, found.comparison.documents
        origin = provenance.origin(documents[publication.package.provenance_uri] or b"")
        project = origin.project if origin else None
        return results.VerifiedRemote(
            artifact=str(publication.package.model_uri),
            manifest=str(manifest.digest),
            release=str(found.record),
            deep=deep,
            files=len(manifest.members),
            size=manifest.size,
            requests=found.requests,
            bytes_read=found.bytes_read,
            not_compared=found.notes,
            signature=results.Signature(signature.key, signature.hint, signature.signed) if signature else None,
            builder=origin.builder if origin else None,
            commit=project.commit if project else None,
            modified=bool(project and not project.clean),
            sbom=documents[publication.package.sbom_uri] is not None,
        )

    def predict(
        self,
        source: str | Path | dict[str, Any] | None = None,
        output: str | Path | None = None,
        *,
        timeout: int | None = None,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
        inference_id: str = "",
        url: str = "",
    ) -> results.Answer:
        """Send an asynchronous request to the endpoint and wait for the answer, or for that of an earlier request.

        The request stays in the endpoint's queue if the wait ends first; the same call then goes on to wait for it.

        Args:
            source: the request: the path of a JSON file, an image, ..., or an object to send as JSON; the spec's sample if left
                out. An image or a recording takes the place of the one in the sample, whose other fields are sent with it; to an
                endpoint in AWS without those that the handler declares a default for, since the values of a sample are small.
            output: the file for the answer, or the folder for its frames; a folder of its own in `build/answers` if left out. Its suffix
                says what the answer should be, where the handler declares what it answers with.
            timeout: seconds to wait; 900 if left out, 1800 where the endpoint may have to wake first.
            accept: the media type that the answer should have, such as `video/mp4`; that of the output's suffix, or `sample.accept` of
                the spec, if left out.
            fields: are laid over those of the request; a dot in a name leads into an object: `{"parameters.seed": 7}`.
            inference_id: the id of an earlier request: its answer is fetched, and nothing is sent; `source` does not count.
            url: the address of a server on this machine, as `Serving.url` has it: the request goes there, and not to the endpoint.

        Raises:
            UserError: there is no such endpoint or server, the request cannot be read, is no JSON or was refused by the container, the
                handler does not declare such an answer, or the credentials are of another account.
            RemoteError: the endpoint failed on the request, or no answer came in time.
        """
        if url:
            context = self._open("deploy")
            return direct.ask(context, url, source, output, timeout=timeout, accept=accept, fields=fields)
        return invocations.ask(
            self._open("deploy"),
            source,
            output,
            timeout=timeout,
            accept=accept,
            fields=fields,
            inference_id=inference_id,
        )

    def serving(
        self,
        package: str = "",
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
        image: bool = False,
    ) -> AbstractContextManager[serving.Serving]:
        """A package that runs on this machine, under the image's own serving stack, within a `with` block.

        The value of the block has `try_it`, which sends the sample, and `url`. Nothing of it needs an account.

        Args:
            package: the path of a `model.tar.gz`, an address in S3 of one or of a prefix with its files, or a release as in `diff`;
                the working tree if left out.
            source: a request to send in place of the spec's sample, as in `predict`.
            output: where its answer is to go; see `predict`.
            accept: the media type that its answer should have.
            fields: are laid over those of the request, as in `predict`.
            image: run it in a container of the spec's image, which docker has on this machine, instead of the serving stack.

        Raises:
            UserError: the serving stack is not installed; there is no such package, it cannot serve, or does not start; or the
                request cannot be read.
            RemoteError, IntegrityError: as `build("download")` does.
        """
        if image:
            containers.require_docker()
        else:
            model_server.require(self.root)
        context = self._open("lock" if package else "download")
        if package and image:
            executor.run(context)  # the lock names the image
        sent = trial.Trial.of(context, source, accept, Path(output) if output else None, fields)
        folder = self.root / "build" / "serving" / f"{context.spec.name}-{context.spec.env}"
        found = served_package.of_name(context, package, folder) if package else served_package.of_tree(context)
        for warning in found.warnings:
            self._heard.warn(warning)
        locate = partial(session.where, self.selection)
        return serving.running(serving.Serving(context.refreshed(), found, sent, locate, in_image=image))

    def watching(
        self,
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> AbstractContextManager[watching.Watched]:
        """The package of the working tree as `serving` runs it, while its code is edited: the value of the block has `edits`, too.

        Args:
            source: as in `serving`.
            output: as in `serving`.
            accept: as in `serving`.
            fields: as in `serving`.

        Raises:
            UserError: as `serving`.
            RemoteError, IntegrityError: as `serving`.
        """
        model_server.require(self.root)
        context = self._open("download")
        sent = trial.Trial.of(context, source, accept, Path(output) if output else None, fields)
        found, locate = served_package.of_tree(context), partial(session.where, self.selection)
        for warning in found.warnings:
            self._heard.warn(warning)
        check, specs = partial(session.load, self.selection, contents=True), session.files_of(self.selection)
        return serving.running(watching.Watched(context.refreshed(), found, sent, locate, check, specs))

    def serve(
        self,
        package: str = "",
        source: exchange.Source = None,
        output: str | Path | None = None,
        *,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> results.Served:
        """Run a package on this machine, send it the sample as the smoke test of a deployment does, and stop it.

        Args:
            package: as in `serving`.
            source: as in `serving`.
            output: the file for the answer, or the folder for its parts; a folder in `build/answers` if left out.
            accept: as in `serving`.
            fields: as in `serving`.

        Raises:
            UserError: as `serving`; or the package does not answer as expected.
            RemoteError, IntegrityError: as `serving`.
        """
        with self.serving(package, source, output, accept=accept, fields=fields) as served:
            return served.try_it(output)

    def status(self) -> results.EndpointStatus:
        """What the endpoint does now: what serves, its instances, scaling, queue and alarms. Changes nothing.

        Raises:
            UserError: the endpoint belongs to another spec or environment, or the credentials are of another account.
            RemoteError: AWS failed after retries.
        """
        context = self._open("deploy")
        with self.progress.activity("asking AWS about the endpoint"):
            preflight.require_account(context)
            return live.status(context)

    def wake(self) -> results.Woken:
        """Start an instance of an endpoint that sleeps, and wait until it serves; several where automatic scaling has more as its least.

        It sleeps again by itself as after a request. An interrupted wait leaves what was begun going on in AWS.

        Raises:
            UserError: there is no such endpoint, it belongs to another spec or environment, it has to be deployed first, the
                quota is used up, or the credentials are of another account.
            RemoteError: no instance came, for lack of capacity for example, or AWS failed after retries.
        """
        context = self._open("deploy")
        with self._surviving(context):
            preflight.require_account(context)
            found = fleet.wake(context.clients.aws, context.spec, self.progress)
        bounds = found.bounds
        sleeps = (
            bounds is not None and bounds.min_capacity == 0 and not bounds.suspended_state.dynamic_scaling_in_suspended
        )
        return results.Woken(found.endpoint_name, found.instances, found.changed, sleeps)

    def sleep(self, *, even_if_busy: bool = False) -> results.Asleep:
        """Stop all instances of an endpoint now, and wait until they are gone; the next request wakes it.

        CloudWatch tells of a request only minutes later: one that was sent just now is not seen, and wakes the endpoint again.

        Args:
            even_if_busy: also while requests are in its queue or running. Those that run are interrupted.

        Raises:
            UserError: there is no such endpoint, it belongs to another spec or environment, requests are in its queue, nothing
                would wake it again, or the credentials are of another account.
            RemoteError: an instance stays, or AWS failed after retries.
        """
        context = self._open("deploy")
        with self._surviving(context):
            preflight.require_account(context)
            found = fleet.sleep(context.clients.aws, context.spec, self.progress, even_if_busy=even_if_busy)
        return results.Asleep(found.endpoint_name, found.changed, found.queued)

    def logs(self, *, since: timedelta = timedelta(hours=1)) -> results.Log:
        """What the containers of the endpoint wrote to CloudWatch, the newest 10,000 lines of it.

        Args:
            since: how long ago to begin.

        Raises:
            UserError: the endpoint belongs to another spec or environment, or the credentials are of another account.
            RemoteError: AWS failed after retries.
        """
        context = self._open("deploy")
        with self.progress.activity("reading the log of the endpoint"):
            preflight.require_account(context)
            return live.read_log(context, since)

    def follow_logs(self, *, since: timedelta = timedelta(0)) -> Iterator[results.LogLine]:
        """Each line that the containers of the endpoint write, as it appears; it ends when the caller stops asking.

        An outage of the network is waited for.

        Args:
            since: how long ago to begin.

        Raises:
            UserError: the endpoint belongs to another spec or environment, or the credentials are of another account.
        """
        context = self._open("deploy")
        preflight.require_account(context)
        return live.follow_log(context, since)

    def predict_all(
        self,
        source: str | Path,
        output: str | Path | None = None,
        *,
        timeout: int | None = None,
        accept: str | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> results.Answers:
        """Send many asynchronous requests to the endpoint, 16 at a time, and wait for their answers.

        All are checked before the first is sent. The same call sends those again that failed; those that have an answer in the
        folder are not sent again, and those that are still in the endpoint's queue are waited for.

        Args:
            source: a folder, each file of which is a request, or a file each line of which is one, in JSON.
            output: the folder for the answers, each in a folder of its own; a folder in `build/answers` if left out.
            timeout: seconds to wait without any answer, as in `predict`.
            accept: the media type that the answers should have; `sample.accept` of the spec if left out.
            fields: are laid over those of each file's request, as in `predict`.

        Raises:
            UserError: there is no such endpoint, a request cannot be read or is no JSON, or the credentials are of another
                account.
            RemoteError: no answer came in time, or a request could not be sent.
        """
        return invocations.ask_all(
            self._open("deploy"), Path(source), output, timeout=timeout, accept=accept, fields=fields
        )

    def releases(self, *, most: int = 20) -> results.Releases:
        """The deployments that changed the endpoint: who, when, from which commit, and what has served since.

        Args:
            most: how many, beginning with the newest.

        Raises:
            UserError: the credentials are of another account, or S3 denies access.
            RemoteError: S3 failed after retries.
        """
        context = self._open("deploy")
        with self.progress.activity("asking S3 for the deployments"):
            preflight.require_account(context)
            return live.releases(context, most)

    def diff(self, before: str = "live", after: str = "tree") -> results.Diff:
        """How a deployment, or the working tree, differs from another: package, requirements, image and settings.

        Changes nothing, and reads no byte of a model.

        Args:
            before: `live` (what serves), `tree` (the working tree), or a release: its number in `releases`, 1 for the newest, its
                time, or the name of its endpoint configuration.
            after: likewise.

        Raises:
            UserError: there is no such release, no endpoint, or no lock that is up to date with the spec; or the endpoint
                belongs to another spec or environment, or the credentials are of another account.
            RemoteError: AWS failed after retries.
        """
        context = self._open("deploy")
        with self.progress.activity("asking AWS what was deployed"):
            preflight.require_account(context)
            return comparing.compare(context, before, after)

    def rollback(self, to: str = "", *, recreate: bool = False) -> results.Rollback:
        """Make the endpoint serve a release again that was deployed before; nothing is built or uploaded.

        Args:
            to: its number in `releases`, its time, the name of its endpoint configuration or the address of its record; the one
                before the one that serves if left out.
            recreate: as in `build`.

        Raises:
            UserError: there is no such release, or its model, configuration or package was deleted; there is no endpoint, or it
                has to be deleted without `recreate`, or belongs to another spec or environment; or the credentials are of another account.
            RemoteError: AWS failed after retries, or the endpoint did not come into service.
        """
        context = self._open("deploy", recreate=recreate)
        with self._surviving(context):
            preflight.require_account(context)
            return rolling_back.roll_back(context, to)

    def review_rollback(self, to: str = "") -> results.Rollback:
        """What `rollback` would do. Changes nothing; raises as `rollback`."""
        context = self._open("deploy")
        with self.progress.activity("asking AWS what was deployed"):
            preflight.require_account(context)
            return rolling_back.review(context, to)

    def deployed_resources(self) -> results.ToDestroy:
        """What `destroy` would remove and what it would leave, with its bytes and its cost. Changes nothing.

        Raises:
            UserError: the endpoint belongs to another spec or environment, or the credentials are of another account.
        """
        context = self._open("deploy")
        with self.progress.activity("asking AWS what was made for the endpoint"), self._surviving(context):
            preflight.require_account(context)
            return leaving.look(context)

    def destroy(self) -> results.Destroyed:
        """Remove the endpoint and all that `deploy` made for it, and nothing else; packages in S3 stay.

        Raises:
            UserError: the endpoint belongs to another spec or environment, or the credentials are of another account.
            RemoteError: SageMaker does not delete it in time.
        """
        context = self._open("deploy")
        with executor.exclusive(context), self._surviving(context):
            preflight.require_account(context)
            return leaving.destroy(context)

    def doctor(self, *, older_than_hours: int = 24) -> results.Doctor:
        """Check everything that can be known before a deployment, and look for unfinished uploads of this spec.

        What cannot be found out is a verdict, too, so it raises nothing but the errors of the spec.

        Args:
            older_than_hours: how old an unfinished upload must be to count.
        """
        context, found = self._open("deploy"), list[results.Upload]()

        def stale_uploads() -> check.Finding:
            found.extend(map(_upload, self._find_uploads(context, older_than_hours)))
            return preflight.judge_stale_uploads(len(found), older_than_hours)

        more = [asking.Question(check.STALE_UPLOADS, "stale uploads", stale_uploads)]
        if context.spec.sandbox:
            more.append(asking.Question("serving-stack", "serving stack", partial(_serving_stack, self.root)))
        with self.progress.activity("checking what a deployment needs"):
            checks = preflight.check_all(context, more)
        return results.Doctor(checks, context.spec.artifact.target, older_than_hours, tuple(found))

    def garbage(
        self, *, keep: int = 3, older_than_hours: int = 24, answers_older_than_days: int = 30
    ) -> results.Garbage:
        """What `gc` would remove, with its bytes and its cost, and why it keeps the other packages. Changes nothing.

        Args:
            keep: how many of the newest deployments of each environment are kept.
            older_than_hours: how old packages, models, configurations and unfinished uploads must be to count.
            answers_older_than_days: how old requests, answers and failures must be to count.

        Raises:
            UserError: the credentials are of another account, or S3 denies to list the packages.
            RemoteError: AWS failed after retries.
        """
        context = self._open("deploy")
        with self.progress.activity("asking AWS what is needed"):
            preflight.require_account(context)
            return collecting.look(context, collecting.rules(keep, older_than_hours, answers_older_than_days))

    def gc(self, *, keep: int = 3, older_than_hours: int = 24, answers_older_than_days: int = 30) -> results.Collected:
        """Remove what `garbage` finds. After an interruption the same call removes the rest.

        Raises:
            UserError: the credentials are of another account, or AWS denies to remove something.
            RemoteError: AWS failed after retries.
        """
        context = self._open("deploy")
        with executor.exclusive(context), self._surviving(context):
            preflight.require_account(context)
            return collecting.collect(context, collecting.rules(keep, older_than_hours, answers_older_than_days))

    def clean(self) -> results.Cleaned:
        """Remove the local output of the spec: `build/<name>-<env>/` and `dist/<name>/<env>/`."""
        context = self._open("package")
        with executor.exclusive(context):
            return results.Cleaned(cleaning.remove(self.root, [context.work.build_path, context.work.dist_path]))

    def policy(self, purpose: str = "publish") -> results.Policy:
        """The smallest IAM policy for one purpose.

        Args:
            purpose: `plan`, `publish`, `deploy`, `predict`, `gc` or `remote` for the people and programs that do it; `execution` for the
                permissions of the execution role, `remote-execution` for those of the job's role, `trust` for who may assume them.

        Raises:
            UserError: there is no such purpose, or it is about `remote`, and the spec declares no job.
        """
        if purpose not in policies.POLICIES:
            fix = f"choose one of {', '.join(results.PURPOSES)}"
            raise UserError(f"no policy is for {purpose!r}", where="--for", fix=fix)
        return results.Policy(purpose, policies.POLICIES[purpose](self._load()))

    def export(
        self, tool: str = "cloudformation", output: str = "", *, check: bool = False, create_role: bool = False
    ) -> results.Exported:
        """The endpoint as files for another infrastructure tool, which then owns it: `deploy` leaves alone what that tool makes.

        Args:
            tool: `cloudformation`.
            output: the folder, as a path from the working folder; `-` writes no file; by default `export/<name>-<env>/<format>/` of
                the project.
            check: only compare the files with what the spec says; AWS is asked nothing.
            create_role: the files make the execution role, too, under the name that the spec gives it.

        Raises:
            UserError: there is no such format, or no lock that is up to date; a file is there that no export made; or, where
                `trust.verify` has keys, the package is not published or not signed.
            PackageError: the package is not what was signed.
        """
        return exporting.export(self._open("deploy"), tool, output, check=check, create_role=create_role)

    def _surviving(self, context: BuildContext) -> AbstractContextManager[None]:
        """Within the block, requests to AWS survive an outage."""
        return waiter.surviving(context.clients.aws, self.progress, waiter.WaiterConfig.of(context.spec))

    def _pin(self, *, locked: bool) -> str | None:
        """Write the commit of today into the spec; returns the file, or None if the spec has a commit already."""
        if locked:
            raise UserError("it writes the spec, which --locked forbids", where="--pin", fix="leave one of them out")
        context = self._open("lock", branch_allowed=True)
        model = context.spec.model
        if model.id is None or model.revision is None:
            raise UserError("a folder has no branch to pin: the lock has the digest of each file", where="--pin")
        if COMMIT.fullmatch(model.revision):
            return None
        return session.pin(self.selection, context.clients.hub.resolve(model.id, model.revision).commit)

    def _load(self, **how: bool) -> Spec:
        return self._check(**how).spec

    def _check(self, **how: bool) -> session.Checked:
        project_folder.require(self.root)
        checked = load(self.selection, **how)
        if self.spec is None:
            self.spec = results.SpecReference(self.selection.shown, checked.spec.name, checked.spec.env)
            for warning in checked.warnings:
                self._heard.warn(warning)
        return checked

    @property
    def _heard(self) -> Heard:
        """The progress of a run, whose warnings are kept."""
        return Heard(self.progress, self._keep)

    def _keep(self, warning: Diagnostic) -> None:
        if warning not in self.warnings:
            self.warnings += (warning,)

    def _plan(self, to: str, **how: Any) -> tuple[BuildContext, results.Plan]:
        return self._planned(to, self._open(to, **how))

    def _planned(self, to: str, context: BuildContext) -> tuple[BuildContext, results.Plan]:
        actions = executor.plan(context)
        contents = None
        for step, action in zip(context.steps, actions, strict=True):
            if step.contents and action.runs and context.current_lock:
                contents = step.contents(context)
        return context, results.Plan(to, tuple(actions), contents, _origin(context))

    def _built(self, goal: str, context: BuildContext, actions: Sequence[Action]) -> results.Built:
        outputs: dict[str, Any] = {}
        for step in context.steps:
            outputs.update(step.result(context))
        return results.Built(goal, tuple(actions), **outputs, promoted_from=_origin(context))

    def _promotion(
        self, from_env: str, release: str, *, survives: bool = False, **how: Any
    ) -> tuple[BuildContext, BuildContext]:
        """The contexts of the other environment, and of the run that promotes a release of it.

        Args:
            from_env: the other environment.
            release: as in `promote`.
            survives: whether an outage is survived from the first call on, as it is later.
            how: as `open_context` takes it.
        """
        context = self._open("deploy", locked=True, **how)
        selected = structs.replace(self.selection, env=from_env, sets=())
        source = open_context(self.root, load(selected), "deploy", self.progress)
        surviving = self._surviving(source) if survives else nullcontext()
        with self.progress.activity(f"asking AWS what was deployed to {from_env}"), surviving:
            return source, promoting.prepare(source, context, release)

    def _open(self, goal: str, *, branch_allowed: bool = False, **how: Any) -> BuildContext:
        if goal not in GOALS:
            raise UserError(f"unknown step {goal!r}", fix=did_you_mean(goal, GOALS) or f"choose one of {one_of(GOALS)}")
        return open_context(self.root, self._check(branch_allowed=branch_allowed), goal, self._heard, **how)

    def _find_uploads(self, context: BuildContext, hours: int) -> list[s3.MultipartHandle]:
        target = s3.S3Uri.parse(context.spec.artifact.target)
        return cleanup.stale_uploads(context.clients.s3, target, context.spec.name, timedelta(hours=hours))


def _origin(context: BuildContext) -> Origin | None:
    """The release that a run promotes."""
    return context.promotion.origin if context.promotion else None


def _serving_stack(root: Path) -> check.Finding:
    """Whether the sandbox can answer requests; without the stack they fail and say so."""
    problem = model_server.unavailable(root)
    if problem is None:
        return check.Finding("ok", f"{model_server.python(root)}, with Java")
    return check.Finding(
        "warning", problem, "without it `serve` and requests to the sandbox's endpoints fail; nothing else needs it"
    )


def _upload(found: s3.MultipartHandle) -> results.Upload:
    begun = found.initiated.isoformat(timespec="seconds") if found.initiated else None
    return results.Upload(str(found.location), found.id, begun)
