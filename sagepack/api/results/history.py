"""Results of the tasks about deployments of the past."""

from __future__ import annotations

from sagepack.api.results.base import FOUND_WORK, Result
from sagepack.api.results.endpoint import Deployed  # noqa: TC001 - msgspec reads the annotations
from sagepack.decoding import Value
from sagepack.deploy.change import Change  # noqa: TC001 - msgspec reads the annotations


class Releases(Result, frozen=True):
    """The deployments of a spec and environment.

    Attributes:
        location: what the addresses of their records begin with.
        deployments: the newest of them, newest first.
        unreadable: addresses of records that are damaged, or of another version of the program.
        serves: name of the endpoint configuration that the endpoint serves; null if there is no endpoint, or nobody may know.
    """

    location: str
    deployments: tuple[Deployed, ...]
    unreadable: tuple[str, ...]
    serves: str | None = None


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
        license: the licence of the model, as its card names it, if it differs.
        not_compared: what could not be compared, and why.
    """

    before: ComparedSide
    after: ComparedSide
    files: tuple[FileDifference, ...] = ()
    requirements: tuple[ValueDifference, ...] = ()
    image: ValueDifference | None = None
    settings: tuple[ValueDifference, ...] = ()
    license: ValueDifference | None = None
    not_compared: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many differences there are."""
        values = (
            len(self.requirements) + len(self.settings) + sum(each is not None for each in (self.image, self.license))
        )
        return len(self.files) + values

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
