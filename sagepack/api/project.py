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
from sagepack.api.at_endpoint import AtEndpoint
from sagepack.api.fleet import ALL_SPECS
from sagepack.api.on_this_machine import OnThisMachine
from sagepack.api.session import load, open_context
from sagepack.engine import executor, lazy
from sagepack.engine.outputs import Archive
from sagepack.errors import UserError
from sagepack.spec import project_folder
from sagepack.spec.model import COMMIT
from sagepack.text import one_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Executor

    from sagepack.api import (
        cleaning,
        collecting,
        exporting,
        judging,
        promoting,
        reporting,
        review,
    )
    from sagepack.api.graph import mermaid, svg
    from sagepack.api.review import ReviewedPlan
    from sagepack.aws import s3
    from sagepack.deploy.origin import Origin
    from sagepack.deploy.preflight import asking, check
    from sagepack.engine import policies, preflight
    from sagepack.engine import verify as verifying
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action
    from sagepack.package.attest import provenance
    from sagepack.package.attest import sbom as bills
    from sagepack.publish import cleanup, remote_read
    from sagepack.scaffold import project as scaffold
    from sagepack.serving import model_server
else:
    asking = lazy.module("deploy.preflight.asking")
    bills = lazy.module("package.attest.sbom")
    cleaning = lazy.module("api.cleaning")
    check = lazy.module("deploy.preflight.check")
    collecting = lazy.module("api.collecting")
    cleanup = lazy.module("publish.cleanup")
    exporting = lazy.module("api.exporting")
    judging = lazy.module("api.judging")
    mermaid = lazy.module("api.graph.mermaid")
    model_server = lazy.module("serving.model_server")
    policies = lazy.module("engine.policies")
    preflight = lazy.module("engine.preflight")
    promoting = lazy.module("api.promoting")
    provenance = lazy.module("package.attest.provenance")
    remote_read = lazy.module("publish.remote_read")
    reporting = lazy.module("api.reporting")
    review = lazy.module("api.review")
    s3 = lazy.module("aws.s3")
    scaffold = lazy.module("scaffold.project")
    svg = lazy.module("api.graph.svg")
    verifying = lazy.module("engine.verify")


class Project(OnThisMachine, AtEndpoint):
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
        self,
        to: str = "package",
        *,
        locked: bool = False,
        stream: bool = False,
        workers: int | Executor = 0,
        remote: bool = False,
    ) -> results.Plan:
        """What would run to reach a step, and why. Changes nothing.

        Args:
            to: a step, or `package`.
            locked: fail if the lock would be made or changed.
            stream: plan to publish from the Hub to S3 without the model on this disk.
            workers: who makes what is published, as in `build`.
            remote: plan to publish by a job in the region.

        Raises:
            UserError: there is no such step, or `remote` and the spec declares no job.
            RemoteError: S3 or SageMaker failed after retries; only the steps `upload` and `deploy` ask them.
        """
        return self._plan(to, locked=locked, stream=stream, workers=workers, remote=remote)[1]

    def graph(
        self,
        to: str = "package",
        form: str = "svg",
        *,
        locked: bool = False,
        stream: bool = False,
        workers: int | Executor = 0,
        remote: bool = False,
    ) -> results.Graph:
        """The steps of a plan, and what each needs, as a picture. Changes nothing.

        Args:
            to: a step, or `package`.
            form: `svg`, `mermaid`, or `text`, which has no document: `sagepack graph` draws it.
            locked: as in `plan`.
            stream: as in `plan`.
            workers: as in `plan`.
            remote: as in `plan`.

        Raises:
            UserError: there is no such step or format; or as `plan`.
            RemoteError: as `plan`.
        """
        if form not in results.GRAPH_FORMATS:
            fix = f"choose one of {one_of(results.GRAPH_FORMATS)}"
            raise UserError(f"there is no format {form!r}", where="--format", fix=fix)
        context, plan = self._plan(to, locked=locked, stream=stream, workers=workers, remote=remote)
        needs = {step.name: step.needs for step in context.steps}
        document = None
        if form == "mermaid":
            document = mermaid.document(plan.actions, needs)
        elif form == "svg":
            title = f"The steps of {context.spec.name} in {context.spec.env}, to {to}"
            document = svg.document(title, plan.actions, needs)
        return results.Graph(to, form, plan.actions, needs, document)

    def review(
        self,
        to: str = "deploy",
        *,
        locked: bool = False,
        stream: bool = False,
        workers: int | Executor = 0,
        remote: bool = False,
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
        workers: int | Executor = 0,
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
                of this process. A script that uses it begins with `if __name__ == "__main__":`, since each process imports it. Or any
                `concurrent.futures.Executor`, which is not shut down: its workers read from the Hub and send to S3 with credentials of
                their own environment, and have the same version of sagepack.
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
        workers: int | Executor = 0,
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
        workers: int | Executor = 0,
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
        return self._verified_remote(self._open("upload"), deep=deep)

    def _verified_remote(self, context: BuildContext, *, deep: bool = False) -> results.VerifiedRemote:
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
        made, bill = documents[publication.package.provenance_uri], documents[publication.package.sbom_uri]
        origin = provenance.origin(made or b"")
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
            sbom=bill is not None,
            earlier=publication.earlier_documents(made, bill),
        )

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
            tool: `cloudformation`, `cdk` or `terraform`.
            output: the folder, as a path from the working folder; `-` writes no file; by default `export/<name>-<env>/<format>/` of
                the project.
            check: only compare the files with what the spec says; AWS is asked nothing.
            create_role: the files make the execution role, too, under the name that the spec gives it.

        Raises:
            UserError: there is no such format, the tool cannot make such an endpoint, or there is no lock that is up to date; a file is there that no export made; or, where
                `trust.verify` has keys, the package is not published or not signed.
            PackageError: the package is not what was signed.
        """
        context = self._open("deploy")
        return exporting.export(context, self.selection.path, tool, output, check=check, create_role=create_role)

    def report(self, output: str | Path = "") -> results.Reported:
        """Write a page about the spec: what was built, what the last run did and why it took as long as it did, the endpoint, its cost.

        It is made from what is on this machine, and from what AWS says; what cannot be found out is in `unknown`. Changes nothing else.

        Args:
            output: the file, as a path from the working folder; `build/<name>-<env>/report.html` if left out.

        Raises:
            UserError: the libraries that draw it are not installed, it cannot be written, or a file is there that is no report.
        """
        return reporting.about_spec(
            self._open("deploy", branch_allowed=True),
            self.selection.shown,
            Path(output).absolute() if output else None,
            self._verified_remote,
        )

    def report_fleet(
        self, select: Sequence[str] = (), envs: Sequence[str] = ("local",), output: str | Path = ""
    ) -> results.Reported:
        """Write a page about many specs: what the last run of each did. It is made from what is on this machine, and asks nobody.

        Args:
            select: patterns of specs, from the project's folder; `config/*.yaml` if left out.
            envs: the environments.
            output: the file, as a path from the working folder; `build/report.html` if left out.

        Raises:
            UserError: as `report`; or a pattern matches no spec, or no spec has the environment.
        """
        project_folder.require(self.root)
        return reporting.about_fleet(
            self.root, select or (ALL_SPECS,), envs, Path(output).absolute() if output else None
        )

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
            how: as `RunOptions` has it.
        """
        context = self._open("deploy", locked=True, **how)
        selected = structs.replace(self.selection, env=from_env, sets=())
        source = open_context(self.root, load(selected), "deploy", self.progress)
        surviving = self._surviving(source) if survives else nullcontext()
        with self.progress.activity(f"asking AWS what was deployed to {from_env}"), surviving:
            return source, promoting.prepare(source, context, release)

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
