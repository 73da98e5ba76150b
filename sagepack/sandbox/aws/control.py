"""What the routes under `/_sandbox/` of the sandbox's AWS do, so that other processes script it as tests in process do.

GET, POST, DELETE /_sandbox/faults      as on the Hub: a list of documents with the attributes of `Fault`
GET               /_sandbox/log         the requests
POST              /_sandbox/outcomes    {"endpoint": name, "outcomes": [{"kind", "reason", "log"}, ...]}
POST              /_sandbox/refusals    {"operation", "code", "message", "times", "status"}
POST              /_sandbox/pace        {"polls", "seconds"}
POST              /_sandbox/answers     {"body", "status", "content_type", "delay", "endpoint", "times"}
POST              /_sandbox/logs        {"endpoint", "lines", "region"}
POST              /_sandbox/reset       everything as at the start
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.sandbox import process
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting import Outcome, Pace
from sagepack.sandbox.aws.invocations import Answer
from sagepack.sandbox.faults import Fault

if TYPE_CHECKING:
    from sagepack.sandbox.aws.server import AwsServer


def answer(server: AwsServer, method: str, route: str, body: Any) -> Any:
    """Carry out a request and return the document that answers it.

    Raises:
        KeyError: the body lacks something; TypeError and ValueError likewise.
    """
    name = route.removeprefix("/_sandbox/")
    if name == "faults":
        if method == "DELETE":
            server.faults.clear()
        for document in body if method == "POST" else ():
            server.faults.add(Fault(**document))
        return server.faults.document()
    if name == "log":
        return [vars(request) for request in server.faults.log]
    if method != "POST" or name not in _SCRIPTED:
        raise ValueError(f"no control route {method} {route}")
    _SCRIPTED[name](server, body or {})
    return {}


def _outcomes(server: AwsServer, body: dict[str, Any]) -> None:
    outcomes = [Outcome(**{**item, "log": tuple(item.get("log", ()))}) for item in body["outcomes"]]
    server.script.outcome(body["endpoint"], *outcomes)


def _refusals(server: AwsServer, body: dict[str, Any]) -> None:
    server.script.refuse(**body)


def _pace(server: AwsServer, body: dict[str, Any]) -> None:
    server.script.pace = Pace(**body)


def _answers(server: AwsServer, body: dict[str, Any]) -> None:
    server.invocations.answer(Answer(**{**body, "body": body["body"].encode()}))


def _logs(_: AwsServer, body: dict[str, Any]) -> None:
    moto_state.log(body.get("region", process.REGION), body["endpoint"], body["lines"])


def _reset(server: AwsServer, _: dict[str, Any]) -> None:
    server.reset()


_SCRIPTED = {
    "outcomes": _outcomes,
    "refusals": _refusals,
    "pace": _pace,
    "answers": _answers,
    "logs": _logs,
    "reset": _reset,
}
