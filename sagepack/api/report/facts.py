"""What a report is made from: what is known of a spec in an environment, and what could not be found out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import field

from sagepack.decoding import Value

if TYPE_CHECKING:
    from sagepack.api import results
    from sagepack.api.report.last_run import LastRun
    from sagepack.engine.plan import Action
    from sagepack.package.lock import Lock
    from sagepack.package.manifest import Manifest


class Facts(Value, frozen=True):
    """What is known of a spec in an environment.

    Attributes:
        config: the spec's file, as messages name it.
        name: name of the model's packages; None if the spec is wrong.
        env: the environment.
        sandbox: whether the services are those of the sandbox.
        run: the last run that had something to do, or failed; None if none is known.
        no_run: why it is not known.
        needs: each step, and those that it needs.
        plan: what would run now, of a spec without a last run.
        lock: what the spec was resolved to; None without a lock that is up to date with the spec.
        manifest: what the package of this lock and code holds; None likewise.
        address: where that package is in S3, or would be.
        instance_type: type of the endpoint's instances, as the spec has it.
        published: what S3 holds of the package; None if it does not hold it as it should be, or could not be asked.
        unpublished: whether it was asked, and holds nothing of it.
        wrong: why it does not hold it as it should be.
        endpoint: what the endpoint does now; None if AWS could not be asked.
        releases: the deployments; None likewise.
        month: what a month of the package in S3 costs, in US dollars; None if that is not known.
        unknown: what could not be found out, and why; a sentence each.
    """

    config: str
    name: str | None
    env: str
    sandbox: bool = False
    run: LastRun | None = None
    no_run: str = ""
    needs: dict[str, tuple[str, ...]] = field(default_factory=dict)
    plan: tuple[Action, ...] = ()
    lock: Lock | None = None
    manifest: Manifest | None = None
    address: str | None = None
    instance_type: str | None = None
    published: results.VerifiedRemote | None = None
    unpublished: bool = False
    wrong: str | None = None
    endpoint: results.EndpointStatus | None = None
    releases: results.Releases | None = None
    month: float | None = None
    unknown: tuple[str, ...] = ()
