"""What the methods of `Project` return, and what a task prints with `--json`: one frozen value for each kind of outcome.

Sizes are in bytes, times in seconds, and paths of the project are relative to its folder. `None` means that the run had
nothing to do with it.
"""

from __future__ import annotations

from typing import Any

from sagepack.decoding import Value
from sagepack.deploy.change import Change
from sagepack.deploy.origin import Origin
from sagepack.deploy.preflight.check import Check
from sagepack.deploy.smoke_result import Smoke  # noqa: TC001 - msgspec reads the annotations
from sagepack.engine.outputs import Archive, LiveEndpoint, Published
from sagepack.engine.plan import Action, Content
from sagepack.errors import RemoteError

FOUND_WORK = 2
BLOCKED = FAILED = 1


class Result(Value, frozen=True):
    """What came of a task that did not fail."""

    @property
    def exit_code(self) -> int:
        """0: done, or nothing to do."""
        return 0


class SpecReference(Value, frozen=True):
    """Which spec, in which environment.

    Attributes:
        config: the spec's file, as messages name it.
        name: name of the model's packages.
        env: the environment.
    """

    config: str
    name: str
    env: str


class Validated(Result, frozen=True):
    """The spec and the files that it names have no errors.

    Attributes:
        config: the spec's file, as messages name it.
        name: name of the model's packages.
        env: the environment.
    """

    config: str
    name: str
    env: str


class Initialized(Result, frozen=True):
    """The files of a project, or of a model in it, that were written.

    Attributes:
        files: all of them.
        spec: the one to read first.
        task: what the model is for, in the Hub's words.
        image, instance_type: that were chosen for it.
        assumptions: what was assumed, one sentence each.
        next: the commands to go on with.
    """

    files: tuple[str, ...]
    spec: str
    task: str
    image: str
    instance_type: str
    assumptions: tuple[str, ...]
    next: tuple[str, ...]


class Locked(Result, frozen=True):
    """What the spec was resolved to.

    Attributes:
        path: the lock file.
        repo: the model's repository, `owner/name`; None for a folder.
        commit: its commit, 40 hex digits.
        folder: the model's folder, as the spec names it; None for a repository.
        files: number of model files.
        size: bytes of them together.
        changed: whether the file was written with another content than before.
        pinned: the file of the spec in which the commit now stands in place of a branch; None if none was changed.
    """

    path: str
    repo: str | None
    commit: str | None
    folder: str | None
    files: int
    size: int
    changed: bool
    pinned: str | None = None


class Plan(Result, frozen=True):
    """What would run, and why.

    Attributes:
        goal: the step that was asked for, or `package`.
        actions: every step of the goal, in the order they run.
        contents: how each file gets to S3; null where no upload would run.
        promoted_from: the release of another environment whose package is copied; null for one from the working tree.
    """

    goal: str
    actions: tuple[Action, ...]
    contents: tuple[Content, ...] | None = None
    promoted_from: Origin | None = None

    @property
    def exit_code(self) -> int:
        """0: nothing to do; 1: something that must not be changed is in the way; 2: something to do."""
        statuses = {action.status for action in self.actions}
        return BLOCKED if "blocked" in statuses else FOUND_WORK if "run" in statuses else 0


class Built(Result, frozen=True):
    """The steps that ran, and what they made.

    Attributes:
        goal: the step that was asked for, or `package`.
        actions: every step of the goal as it was taken, with its seconds.
        manifest: digest of the manifest, the identity of the package.
        archive: the archive on this disk, if the goal includes it.
        artifact: the package in S3, if the goal includes it.
        endpoint: what serves it, if the goal includes that.
        promoted_from: the release of another environment whose package was copied; null for one from the working tree.
    """

    goal: str
    actions: tuple[Action, ...]
    manifest: str | None = None
    archive: Archive | None = None
    artifact: Published | None = None
    endpoint: LiveEndpoint | None = None
    promoted_from: Origin | None = None


class Verified(Result, frozen=True):
    """The local archive is what its manifest says.

    Attributes:
        archive: the archive.
        files: number of its files.
        rebuilt: whether a build from nothing gave the same bytes.
    """

    archive: Archive
    files: int
    rebuilt: bool


class VerifiedRemote(Result, frozen=True):
    """What S3 holds of the package is what lock and code make.

    Attributes:
        artifact: address of the package.
        manifest: digest of the manifest.
        release: address of the record of its release.
        deep: whether every byte was read and hashed.
        files: number of files of the package.
        size: bytes of them together.
        requests: number of requests that the check took.
        bytes_read: bytes that the check read.
        not_compared: what could not be compared, and why.
    """

    artifact: str
    manifest: str
    release: str
    deep: bool
    files: int
    size: int
    requests: int
    bytes_read: int
    not_compared: tuple[str, ...]


class Answer(Result, frozen=True):
    """The answer to a request.

    Attributes:
        files: where it was written.
        location: where the endpoint wrote it in S3.
        inference_id: id of the request, which the endpoint's log names.
        size: bytes of the answer.
        seconds: from sending the request to the answer.
        text: the answer itself, if it is JSON or other text and short; null otherwise.
        miniature: whether a miniature of the sandbox with random weights gave it.
    """

    files: tuple[str, ...]
    location: str
    inference_id: str
    size: int
    seconds: float
    text: str | None = None
    miniature: bool = False


class FailedRequest(Value, frozen=True):
    """A request of a batch that failed.

    Attributes:
        request: its file, or file and line.
        message: why, in the words of the container.
        refused: whether the container refused the request; else the endpoint failed.
        location: what was written about it in S3, and the id of the request.
    """

    request: str
    message: str
    refused: bool
    location: str


class Answers(Result, frozen=True):
    """The answers to a batch of requests.

    Attributes:
        folder: where they were written, in a folder for each request.
        requests: how many requests the batch has.
        answered: how many were answered now.
        before: how many had an answer in the folder already, and were not sent again.
        failed: those that failed.
    """

    folder: str
    requests: int
    answered: int
    before: int
    failed: tuple[FailedRequest, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all are answered; 1: the container refused some; 3: the endpoint failed on some."""
        if not self.failed:
            return 0
        return FAILED if all(failed.refused for failed in self.failed) else RemoteError.exit_code


class Resource(Value, frozen=True):
    """Something in AWS.

    Attributes:
        kind: what it is: `endpoint`, `model`, `alarm`, ...
        name: its name.
    """

    kind: str
    name: str


class KeptResource(Value, frozen=True):
    """A resource of an endpoint that stays when the endpoint is removed.

    Attributes:
        kind: `endpoint configuration` or `model`.
        name: its name.
        reason: who uses it, or why that is not known.
    """

    kind: str
    name: str
    reason: str


class Left(Value, frozen=True):
    """Something that stays when an endpoint is removed, because others may need it.

    Attributes:
        kind: `packages`, `records`, `requests and answers`, `log group` or `topic`.
        name: its name, or what its addresses in S3 begin with.
        size: its bytes; null if that is not known, or it has none.
        cost_per_month: what these cost in a month, in US dollars by list prices; null if that is not known.
        remove: what removes it.
    """

    kind: str
    name: str
    size: int | None
    cost_per_month: float | None
    remove: str


class ToDestroy(Result, frozen=True):
    """What `destroy` would remove, and what it would leave.

    Attributes:
        endpoint: name of the endpoint.
        resources: what would be removed, in that order.
        kept: configurations and models that others use.
        left: what stays in S3 and elsewhere.
        notes: what else is to be known before, and what is not known.
    """

    endpoint: str
    resources: tuple[Resource, ...]
    kept: tuple[KeptResource, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]


class Destroyed(Result, frozen=True):
    """What was removed from AWS.

    Attributes:
        endpoint: name of the endpoint.
        removed: the resources, in the order they were removed.
        kept: configurations and models that others use.
        left: what stays in S3 and elsewhere.
        cost_per_month: what that costs in a month, in US dollars by list prices; null if a price is not known.
        notes: what is not known.
    """

    endpoint: str
    removed: tuple[Resource, ...]
    kept: tuple[KeptResource, ...] = ()
    left: tuple[Left, ...] = ()
    cost_per_month: float | None = 0.0
    notes: tuple[str, ...] = ()


class Woken(Result, frozen=True):
    """The endpoint is awake.

    Attributes:
        endpoint: name of the endpoint.
        instances: how many instances serve.
        changed: whether it slept before.
        sleeps_again: whether automatic scaling lets it sleep again when it had no request for a while.
    """

    endpoint: str
    instances: int
    changed: bool
    sleeps_again: bool


class Asleep(Result, frozen=True):
    """The endpoint has no instances; a request wakes it.

    Attributes:
        endpoint: name of the endpoint.
        changed: whether it was awake before.
        queued: number of requests that were in its queue or running, which wake it again.
    """

    endpoint: str
    changed: bool
    queued: int


class ScalingActivity(Value, frozen=True):
    """An attempt of automatic scaling to change the number of instances.

    Attributes:
        time: when it began (ISO 8601, UTC).
        status: `Successful`, `InProgress`, `Failed`, ... (API reference, ScalingActivity).
        message: what was done, or why it was not.
    """

    time: str
    status: str
    message: str


class PoolStatus(Value, frozen=True):
    """The instances of one of several types.

    Attributes:
        instance_type: their type.
        instances: how many there are.
    """

    instance_type: str
    instances: int


class ScheduledBounds(Value, frozen=True):
    """The next time at which a scheduled action sets the bounds of automatic scaling.

    Attributes:
        name: name of the action.
        time: when (ISO 8601, UTC).
        fewest_instances, most_instances: the bounds from then on; null for one that stays as it is.
    """

    name: str
    time: str
    fewest_instances: int | None
    most_instances: int | None


class AlarmState(Value, frozen=True):
    """A CloudWatch alarm on the endpoint, or one that starts automatic scaling.

    Attributes:
        name: its name.
        state: `OK`, `ALARM` or `INSUFFICIENT_DATA`.
        acts: whether it starts or tells anything: its actions are enabled.
        since: when it came into that state (ISO 8601, UTC).
        reason: what CloudWatch says about the state.
    """

    name: str
    state: str
    acts: bool
    since: str | None = None
    reason: str | None = None


class Deployed(Value, frozen=True):
    """A deployment that was recorded.

    Attributes:
        record: address of its record.
        time: when it served (ISO 8601, UTC).
        by: ARN of who deployed.
        commit: commit of the project's repository; null without git.
        clean: whether the project was as that commit has it.
        endpoint: name of the endpoint.
        manifest: digest of the manifest, the identity of the package.
        package: where SageMaker loads the package from.
        lock: digest of the lock file.
        image: the image, by digest.
        model: name of the model.
        config: name of the endpoint configuration.
        variables: names of the container's environment variables.
        settings: `endpoint` of the spec, as it was, by its keys.
        smoke: what came of the smoke test; null in records of versions that made none.
        promoted_from: the release of another environment whose package was copied; null for one from the working tree.
        rolled_back_to: address of the record of the deployment that this one repeats; null if it is no rollback.
    """

    record: str
    time: str
    by: str
    commit: str | None
    clean: bool | None
    endpoint: str
    manifest: str
    package: str
    lock: str
    image: str
    model: str
    config: str
    variables: tuple[str, ...]
    settings: dict[str, Any]
    smoke: Smoke | None = None
    promoted_from: Origin | None = None
    rolled_back_to: str | None = None


class RequestFailure(Value, frozen=True):
    """A request that failed, whoever sent it.

    Attributes:
        time: when its failure was written (ISO 8601, UTC).
        message: who can mend it, and the first line of what the container said.
        location: address of the failure in S3.
        failure: id of the known failure that it is, of `docs/failures.md`; null if it is none.
    """

    time: str
    message: str
    location: str
    failure: str | None = None


class EndpointStatus(Result, frozen=True):
    """What an endpoint does now.

    Attributes:
        endpoint: name of the endpoint.
        state: its status in SageMaker (`InService`, `Updating`, ...); null if there is no endpoint.
        since: when it was last changed (ISO 8601, UTC).
        reason: what SageMaker says about a failure.
        arn: its ARN.
        config: name of the configuration that serves.
        next_config: name of the configuration to which an update is going on.
        model: name of the model that serves; null if its configuration was deleted.
        model_exists: whether that model was not deleted; without it no further instance can start.
        manifest: digest of the manifest of the package that was deployed, its identity.
        image: the container image that its instances run, by the digest that SageMaker describes; null if it describes none.
        instance_type: type of its instances; null if they are of several.
        instance_pools: its instances by type, where they may be of several.
        instances: number of instances that serve; 0 while it sleeps.
        cost_per_hour: what these cost in an hour, in US dollars by list prices; null if it is not known.
        desired_instances: number of instances that SageMaker aims at.
        fewest_instances, most_instances: between which automatic scaling moves; null if it is not set up.
        policies: names of the scaling policies.
        next_scheduled: what the schedule does next; null without a schedule.
        activity: the newest attempt to scale.
        backlog: number of requests that wait or are being answered; null if CloudWatch has no data now.
        alarms: the alarms that the spec declares, and those that start the scaling policies.
        failures: the newest requests that failed, newest first.
        release: the newest recorded deployment of the configuration that serves; null if none is recorded.
        unknown: what could not be found out, and why.
        console: address of its page in the AWS console; null for the sandbox.
        log: address of its log in the AWS console; null for the sandbox.
    """

    endpoint: str
    state: str | None = None
    since: str | None = None
    reason: str | None = None
    arn: str | None = None
    config: str | None = None
    next_config: str | None = None
    model: str | None = None
    model_exists: bool = False
    manifest: str | None = None
    image: str | None = None
    instance_type: str | None = None
    instance_pools: tuple[PoolStatus, ...] = ()
    instances: int | None = None
    cost_per_hour: float | None = None
    desired_instances: int | None = None
    fewest_instances: int | None = None
    most_instances: int | None = None
    policies: tuple[str, ...] = ()
    next_scheduled: ScheduledBounds | None = None
    activity: ScalingActivity | None = None
    backlog: int | None = None
    alarms: tuple[AlarmState, ...] = ()
    failures: tuple[RequestFailure, ...] = ()
    release: Deployed | None = None
    unknown: tuple[str, ...] = ()
    console: str | None = None
    log: str | None = None


class Releases(Result, frozen=True):
    """The deployments of a spec and environment.

    Attributes:
        location: what the addresses of their records begin with.
        deployments: the newest of them, newest first.
        unreadable: addresses of records that are damaged, or of another version of the program.
    """

    location: str
    deployments: tuple[Deployed, ...]
    unreadable: tuple[str, ...]


class ComparedSide(Value, frozen=True):
    """One of two things that are compared.

    Attributes:
        name: `live`, `tree`, or the number of a release.
        time: when it was deployed (ISO 8601, UTC); null for the working tree, and where no record says it.
        by: ARN of who deployed it; null likewise.
        commit: commit of the project's repository; null without git, and where no record says it.
        clean: whether the project is, or was, as that commit has it.
        manifest: digest of the manifest, the identity of the package.
        package: where SageMaker loads the package from.
        image: the image, by digest.
        config: name of the endpoint configuration.
    """

    name: str
    time: str | None
    by: str | None
    commit: str | None
    clean: bool | None
    manifest: str | None
    package: str | None
    image: str | None
    config: str | None


class FileDifference(Value, frozen=True):
    """A file of the package that is not the same on both sides.

    Attributes:
        path: path of the file in the package.
        before, after: its bytes; null where there is no such file.
    """

    path: str
    before: int | None
    after: int | None


class ValueDifference(Value, frozen=True):
    """A value that is not the same on both sides.

    Attributes:
        subject: a key of the spec, a requirement, or a resource.
        before, after: the value as text: `none` for none, `there` where only that is known, `(not shown)` for what looks like a
            secret.
    """

    subject: str
    before: str
    after: str


class Diff(Result, frozen=True):
    """How one deployment, or the working tree, differs from another.

    Attributes:
        before, after: what is compared.
        files: the files of the package that differ.
        requirements: the requirements that differ.
        image: the image, if it differs.
        settings: the keys of `endpoint` and `environment` that differ.
        not_compared: what could not be compared, and why.
    """

    before: ComparedSide
    after: ComparedSide
    files: tuple[FileDifference, ...] = ()
    requirements: tuple[ValueDifference, ...] = ()
    image: ValueDifference | None = None
    settings: tuple[ValueDifference, ...] = ()
    not_compared: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many differences there are."""
        return len(self.files) + len(self.requirements) + len(self.settings) + (self.image is not None)

    @property
    def exit_code(self) -> int:
        """0: no difference; 2: there is one, or something could not be compared."""
        return FOUND_WORK if self.count or self.not_compared else 0


class Rollback(Result, frozen=True):
    """The endpoint serves a release that was deployed before, or would.

    Attributes:
        endpoint: name of the endpoint.
        record: address of the record of that release.
        commit: commit of the project's repository of which it was made; null without git.
        model: name of the model.
        config: name of the endpoint configuration.
        diff: how it differs from what serves; null once it serves.
        changes: what was done; null in a review.
    """

    endpoint: str
    record: str
    commit: str | None
    model: str
    config: str
    diff: Diff | None = None
    changes: tuple[Change, ...] | None = None

    @property
    def changes_something(self) -> bool:
        """Whether something would be changed, as far as a review knows."""
        return self.diff is not None and (self.diff.before.config != self.config or bool(self.diff.exit_code))


class LogLine(Value, frozen=True):
    """A line that a container wrote.

    Attributes:
        time: when (ISO 8601, UTC).
        instance: the instance on which it runs.
        text: the line.
    """

    time: str
    instance: str
    text: str


class Log(Result, frozen=True):
    """What the containers of an endpoint wrote.

    Attributes:
        endpoint: name of the endpoint.
        group: the log group in CloudWatch.
        exists: whether there is such a log group; AWS makes it when the first container starts, and keeps it.
        since: from when on the log was read (ISO 8601, UTC).
        left_out: number of lines, the oldest, that are too many to be here.
        lines: the lines, oldest first.
    """

    endpoint: str
    group: str
    exists: bool
    since: str
    left_out: int
    lines: tuple[LogLine, ...]


class Followed(Result, frozen=True):
    """A log was followed until its reader had seen enough.

    Attributes:
        lines: number of lines that were printed.
    """

    lines: int


class Cleaned(Result, frozen=True):
    """What was removed from this disk.

    Attributes:
        removed: the folders.
    """

    removed: tuple[str, ...]


class Upload(Value, frozen=True):
    """An unfinished multipart upload.

    Attributes:
        location: the object that it would make.
        upload_id: its id in S3.
        initiated: when it began (ISO 8601), if S3 says so.
    """

    location: str
    upload_id: str
    initiated: str | None


class Doctor(Result, frozen=True):
    """Whether a deployment can work, and what needs attention.

    Attributes:
        checks: every check that was made.
        target: where packages are published.
        older_than_hours: how old an unfinished upload is to count.
        stale_uploads: the unfinished uploads.
    """

    checks: tuple[Check, ...]
    target: str
    older_than_hours: int
    stale_uploads: tuple[Upload, ...]

    @property
    def exit_code(self) -> int:
        """0: no check failed; 1: one did."""
        return FAILED if any(check.verdict == "failed" for check in self.checks) else 0


class Removable(Value, frozen=True):
    """Something that nobody needs any more.

    Attributes:
        kind: `package`, `endpoint configuration`, `model`, `unfinished upload` or `requests and answers`.
        name: its name, or its address in S3.
        size: bytes that it takes in S3.
        cost_per_month: what these bytes cost in a month, in US dollars by list prices; null if the price is not known.
        reason: why it is not needed.
        count: how many objects it is, for requests and answers.
    """

    kind: str
    name: str
    size: int
    cost_per_month: float | None
    reason: str
    count: int = 1


class KeptPackage(Value, frozen=True):
    """A package that stays.

    Attributes:
        location: its folder in S3.
        size: its bytes.
        reason: what needs it.
    """

    location: str
    size: int
    reason: str


class Garbage(Result, frozen=True):
    """What could be removed, and what stays.

    Attributes:
        target: where packages are published.
        removable: what nobody needs any more.
        size: bytes of all of it.
        cost_per_month: what it costs in a month, in US dollars by list prices; null if a price is not known.
        kept: the packages that stay.
        unknown: what AWS denied to say; then no package, model or configuration is removed.
        notes: what else is not known.
    """

    target: str
    removable: tuple[Removable, ...]
    size: int
    cost_per_month: float | None
    kept: tuple[KeptPackage, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0: all was seen; 1: AWS denied to say what is needed."""
        return FAILED if self.unknown else 0


class Collected(Result, frozen=True):
    """What was removed.

    Attributes:
        target: where packages are published.
        removed: what is gone.
        size: bytes of all of it.
        cost_per_month: what it cost in a month, in US dollars by list prices; null if a price is not known.
        spared: packages that somebody began to use meanwhile, and that were kept.
        versions_stay: whether the bucket keeps what was deleted as earlier versions, which cost as before.
        unknown: what AWS denied to say; then no package, model or configuration was removed.
        notes: what else is not known.
    """

    target: str
    removed: tuple[Removable, ...]
    size: int
    cost_per_month: float | None
    spared: tuple[KeptPackage, ...]
    versions_stay: bool
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0: all that could be removed is gone; 1: AWS denied to say what is needed."""
        return FAILED if self.unknown else 0


# Who needs a policy: the people and programs that plan, publish, deploy, send requests, or remove garbage; the execution role, and who may assume it.
PURPOSES = ("plan", "publish", "deploy", "predict", "gc", "execution", "trust")


class Policy(Result, frozen=True):
    """A policy for IAM.

    Attributes:
        purpose: what it allows: `plan`, `publish`, `deploy`, `predict`, `gc`, `execution` (what the execution role may do), or `trust` (who
            may assume that role).
        document: the policy document.
    """

    purpose: str
    document: dict[str, Any]


class SandboxStatus(Result, frozen=True):
    """Whether the sandbox runs, and where.

    Attributes:
        running: whether it runs.
        pid: id of its process.
        hub: address of its Hub.
        aws: address of its AWS.
        log: its log file.
    """

    running: bool
    pid: int | None = None
    hub: str | None = None
    aws: str | None = None
    log: str | None = None


class ServingStack(Result, frozen=True):
    """The serving stack of the image is installed on this machine.

    Attributes:
        python: its interpreter.
    """

    python: str


class SandboxStopped(Result, frozen=True):
    """The sandbox does not run any more.

    Attributes:
        stopped: whether there was one to stop.
    """

    stopped: bool


class SandboxModel(Result, frozen=True):
    """A model of the user's own in the sandbox's Hub, also after a restart.

    Attributes:
        id: repository, for `model.id`.
        revision: commit, for `model.revision`: a function of the name and the content.
        folder: where its files are.
    """

    id: str
    revision: str
    folder: str


class SandboxEnvironment(Result, frozen=True):
    """Environment variables with which other programs reach the sandbox.

    Attributes:
        export: the variables to set.
        unset: the variables to remove.
    """

    export: dict[str, str]
    unset: tuple[str, ...]
