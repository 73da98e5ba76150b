"""The methods of `Project` that are about the endpoint: requests to it, what it does, its releases, its end."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api import results
from sagepack.api.opened import OpenedSpec
from sagepack.engine import executor, lazy

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sagepack.api import comparing, direct, invocations, leaving, live, rolling_back
    from sagepack.deploy import fleet
    from sagepack.engine import preflight, signed
else:
    comparing = lazy.module("api.comparing")
    direct = lazy.module("api.direct")
    fleet = lazy.module("deploy.fleet")
    invocations = lazy.module("api.invocations")
    leaving = lazy.module("api.leaving")
    live = lazy.module("api.live")
    preflight = lazy.module("engine.preflight")
    rolling_back = lazy.module("api.rolling_back")
    signed = lazy.module("engine.signed")


class AtEndpoint(OpenedSpec):
    """What can be done with the endpoint of a spec and environment. Each method asks AWS when it is called."""

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

    def watch_status(self, *, interval: float = 5.0) -> Iterator[results.EndpointStatus]:
        """What the endpoint does, again and again; it ends when the caller stops asking.

        From the second look on a service that fails is waited for, and a note says so.

        Args:
            interval: seconds between two looks.

        Raises:
            UserError, RemoteError: as for `status`.
        """
        context = self._open("deploy")
        with self.progress.activity("asking AWS about the endpoint"):
            preflight.require_account(context)
            signatures = live.Signatures()
            first = live.status(context, signatures)
        return live.watch(context, first, interval, signatures)

    def wake(self) -> results.Woken:
        """Start an instance of an endpoint that sleeps, and wait until it serves; several where automatic scaling has more as its least.

        It sleeps again by itself as after a request. An interrupted wait leaves what was begun going on in AWS.

        Raises:
            UserError: there is no such endpoint, it belongs to another spec or environment, it has to be deployed first, the
                quota is used up, or the credentials are of another account; or its package is not signed, and has to be.
            IntegrityError: its package is not what was signed.
            RemoteError: no instance came, for lack of capacity for example, or AWS failed after retries.
        """
        context = self._open("deploy")
        with self._surviving(context):
            preflight.require_account(context)
            found = fleet.wake(
                context.clients.aws, context.spec, self.progress, check=partial(signed.require_signed_config, context)
            )
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
            UserError: there is no such release, or its model, configuration or package was deleted; the last deployment failed and
                was put back already, and no release is named; there is no endpoint, or it has to be deleted without `recreate`, or
                belongs to another spec or environment; or the credentials are of another account.
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
