"""The control routes of the sandbox's AWS, with which other processes do what tests in this process do directly.

GET, POST, DELETE /_sandbox/faults           as on the Hub: a list of documents with the attributes of `Fault`
GET               /_sandbox/log              the requests since the faults were last deleted
POST              /_sandbox/outcomes         {"endpoint": name, "outcomes": [{"kind", "reason", "log", "image"}, ...]}
POST              /_sandbox/denied           {"actions": ["s3:PutObject", "sagemaker:Delete*", ...]}: these and no others
POST              /_sandbox/errors           {"operation", "code", "message", "times", "status"}
POST              /_sandbox/transitions      {"polls", "seconds"}
GET, POST         /_sandbox/clock            {"turn": seconds}, forward; the response has the time, as seconds since the epoch
POST              /_sandbox/fleets           {"alarm", "resize", "busy", "idle"}, in seconds of the clock
POST              /_sandbox/results          {"body", "status", "content_type", "delay", "endpoint", "times", "log"}
GET               /_sandbox/answers          {"problem": why requests to endpoints cannot be answered, or null}
POST              /_sandbox/capacity         {"none": [instance type, ...]}: of these no further instance can start
POST              /_sandbox/container-log    {"endpoint", "lines", "region"}
POST              /_sandbox/reset            back to the initial state
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting import DeploymentOutcome, FleetTimes, TransitionTime
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.sandbox.faults import Fault
from sagepack.sandbox.identity import REGION

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.aws.clock import Clock
    from sagepack.sandbox.aws.denied import DeniedActions
    from sagepack.sandbox.aws.hosting import Scenario
    from sagepack.sandbox.aws.invocations import Invocations
    from sagepack.sandbox.faults import Faults


@dataclass(frozen=True)
class Control:
    """What the control routes act on.

    Attributes:
        scenario: how deployments end and which operations fail.
        faults: statuses and latency, and the log of requests.
        invocations: the results of endpoints.
        clock: the time of endpoints.
        denied: the actions that the caller is denied.
        reset: puts the server back to its initial state.
    """

    scenario: Scenario
    faults: Faults
    invocations: Invocations
    clock: Clock
    denied: DeniedActions
    reset: Callable[[], None]

    def execute(self, method: str, route: str, body: Any) -> Any:
        """Execute a request and return the document of the response.

        Args:
            method: HTTP method.
            route: the path.
            body: the decoded JSON document, None if there is none.

        Raises:
            KeyError: a field of the body is missing.
            TypeError: a field is unknown or of a wrong type.
            ValueError: the route does not exist, or a value is not allowed.
        """
        name = route.removeprefix("/_sandbox/")
        if name == "faults":
            if method == "DELETE":
                self.faults.clear()
            for document in body if method == "POST" else ():
                self.faults.add(Fault(**document))
            return self.faults.document()
        if name == "clock":
            self.clock.turn(float(body["turn"]) if method == "POST" else 0.0)
            return {"now": self.clock.now()}
        if name == "answers":
            return {"problem": self.invocations.problem}
        if name == "log":
            return [vars(logged) for logged in self.faults.log]
        actions: dict[str, Callable[[dict[str, Any]], None]] = {
            "outcomes": self._outcomes,
            "errors": lambda body: self.scenario.fail_operation(**body),
            "transitions": self._transitions,
            "denied": lambda body: self.denied.set(body["actions"]),
            "fleets": self._fleets,
            "results": self._results,
            "capacity": self._capacity,
            "container-log": lambda body: moto_state.log(body.get("region", REGION), body["endpoint"], body["lines"]),
            "reset": lambda _: self.reset(),
        }
        if method != "POST" or name not in actions:
            raise ValueError(f"no control route {method} {route}")
        actions[name](body or {})
        return {}

    def _outcomes(self, body: dict[str, Any]) -> None:
        outcomes = [DeploymentOutcome(**{**item, "log": tuple(item.get("log", ()))}) for item in body["outcomes"]]
        self.scenario.end_deployments(body["endpoint"], *outcomes)

    def _results(self, body: dict[str, Any]) -> None:
        fields = {**body, "body": body["body"].encode(), "log": tuple(body.get("log", ()))}
        self.invocations.script(ScriptedResult(**fields))

    def _transitions(self, body: dict[str, Any]) -> None:
        self.scenario.transition_time = TransitionTime(**body)

    def _capacity(self, body: dict[str, Any]) -> None:
        self.scenario.without_capacity = frozenset(body["none"])

    def _fleets(self, body: dict[str, Any]) -> None:
        self.scenario.fleet_times = FleetTimes(**body)
