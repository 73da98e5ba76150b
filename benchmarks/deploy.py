"""An edit from the saved file to the endpoint that serves it, beside the AWS CLI calls that a person would type.

Both work on the sandbox, whose answers are held back to resemble a link with latency, and whose endpoint is InService as soon as
it is updated: in AWS that takes minutes for both. The CLI sends the miniature's archive as it is there already, then calls
`create-model`, `create-endpoint-config`, `update-endpoint`, `wait`; with a real model that archive has gigabytes. Ours packs, sends what is
new, deploys, and compares what is live with what was asked for. The smoke test, which the CLI's calls lack, is skipped in both.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from benchmarks.publish import LATENCIES, by_latency
from benchmarks.timing import run, side_by_side
from sagepack.sandbox import process
from sagepack.sandbox.identity import CONTROL_HEADER
from tests.helpers.environments import AWSCLI, environment

if TYPE_CHECKING:
    from collections.abc import Sequence

REPOSITORY = Path(__file__).resolve().parent.parent
MIB = 1 << 20

# Arguments: the CLI, the archive, the role, and the JSON documents of the container, the variants and the settings of asynchronous
# requests, in which NAME stands for the name of the new model.
_TYPED = """
set -e
aws=$1 archive=$2 role=$3 name=typed-$(date +%s%N)
$aws s3 cp --only-show-errors "$archive" "s3://sagepack-sandbox/$name/model.tar.gz"
$aws sagemaker create-model --model-name "$name" --execution-role-arn "$role" --primary-container "${4//NAME/$name}"
$aws sagemaker create-endpoint-config --endpoint-config-name "$name" --production-variants "${5//NAME/$name}" \
    --async-inference-config "$6"
$aws sagemaker update-endpoint --endpoint-name typed --endpoint-config-name "$name"
$aws sagemaker wait endpoint-in-service --endpoint-name typed
"""


@dataclass(frozen=True)
class Sandbox:
    """The running sandbox of a project."""

    url: str
    secret: str

    def ask(self, method: str, route: str, document: Any = None) -> Any:
        """Ask a control route of its AWS."""
        request = urllib.request.Request(f"{self.url}/_sandbox/{route}", method=method)
        request.add_header(CONTROL_HEADER, self.secret)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, None if document is None else json.dumps(document).encode()) as answer:
            return json.load(answer)


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the model is the sandbox's miniature
    """Seconds by the time to each answer, requests to AWS, and MiB sent."""
    project = folder / "deploy"
    for name in ("config", "inference_code"):
        shutil.copytree(REPOSITORY / name, project / name)
    ours = ["env", "-C", str(project), f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "sagepack"]
    deploy = [*ours, "deploy", "--no-smoke", "--yes"]
    run([*ours, "package"])
    try:
        run(deploy)
        box = process.ensure(project)
        sandbox = Sandbox(box.aws_url, box.control_token)
        sandbox.ask("POST", "transitions", {"polls": 0, "seconds": 0})
        typed = _typed(box, project / "dist" / "svd" / "local" / "model.tar.gz")
        return _measure(sandbox, {"sagepack deploy": deploy, "AWS CLI": typed}, project, runs)
    finally:
        run([*ours, "sandbox.stop"])


def _measure(sandbox: Sandbox, commands: dict[str, Sequence[str]], project: Path, runs: int) -> str:
    requests: dict[str, str] = {}
    sent: dict[str, str] = {}
    running = ""

    def turn(name: str) -> None:
        nonlocal running
        log = sandbox.ask("GET", "log")
        requests[running], sent[running] = str(len(log)), f"{sum(one['received'] for one in log) / MIB:.3f}"
        running = name
        sandbox.ask("DELETE", "faults")
        sandbox.ask("POST", "faults", [{"kind": "latency", "value": latency / 1000}])
        with (project / "inference_code" / "svd" / "inference.py").open("a") as code:
            code.write("# one more line\n")

    found = {}
    for latency in LATENCIES:
        found[latency] = side_by_side(commands, runs, turn)
    turn("")
    title = "### Edit deployed, time to each answer"
    return f"{title}\n\n{by_latency(found, {'requests': requests, 'MiB sent': sent})}\n"


def _typed(box: process.Sandbox, archive: Path) -> list[str]:
    """The command of the AWS CLI's calls, for an endpoint of its own that is like ours."""
    keys = {"aws_access_key_id": box.access_key, "aws_secret_access_key": box.secret_key}
    client = boto3.client("sagemaker", region_name=box.region, endpoint_url=box.aws_url, **keys)
    live = client.describe_endpoint(EndpointName="svd")["EndpointConfigName"]
    client.create_endpoint(EndpointName="typed", EndpointConfigName=live)
    client.get_waiter("endpoint_in_service").wait(EndpointName="typed")
    config = client.describe_endpoint_config(EndpointConfigName=live)
    variant = config["ProductionVariants"][0]
    model = client.describe_model(ModelName=variant["ModelName"])
    container = {
        "Image": model["PrimaryContainer"]["Image"],
        "ModelDataUrl": "s3://sagepack-sandbox/NAME/model.tar.gz",
        "Environment": model["PrimaryContainer"]["Environment"],
    }
    documents = [container, [variant | {"ModelName": "NAME"}], config["AsyncInferenceConfig"]]
    settings = {
        "AWS_ENDPOINT_URL": box.aws_url,
        "AWS_ACCESS_KEY_ID": box.access_key,
        "AWS_SECRET_ACCESS_KEY": box.secret_key,
        "AWS_DEFAULT_REGION": box.region,
        "AWS_CONFIG_FILE": os.devnull,
    }
    arguments = [
        str(environment("awscli", AWSCLI) / "aws"),
        str(archive),
        model["ExecutionRoleArn"],
        *map(json.dumps, documents),
    ]
    return ["env", *(f"{name}={value}" for name, value in settings.items()), "bash", "-c", _TYPED, "bash", *arguments]
