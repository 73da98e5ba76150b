"""An edit from the saved file to the endpoint that serves it, beside the AWS CLI calls that a person would type.

Both work on the sandbox, whose answers are held back to resemble a link with latency, and whose endpoint is InService as soon as
it is updated: in AWS that takes minutes for both. The CLI sends the miniature's archive as it is there already, then calls
`create-model`, `create-endpoint-config`, `update-endpoint`, `wait`; with a real model that archive has gigabytes. Ours packs, sends what is
new, deploys, and compares what is live with what was asked for. The smoke test, which the CLI's calls lack, is skipped in both.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import boto3

from benchmarks.projects import Project, aws_cli
from benchmarks.publish import LATENCIES, by_latency
from benchmarks.timing import run, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.projects import Sandbox

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


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the model is the sandbox's miniature
    """Seconds by the time to each answer, requests to AWS, and MiB sent."""
    project = Project.make(folder / "deploy")
    deploy = project.command("deploy", "--no-smoke", "--yes")
    with project.sandbox() as sandbox:
        run(project.command("package"))
        run(deploy)
        sandbox.ask("POST", "transitions", {"polls": 0, "seconds": 0})
        typed = _typed(sandbox, project.folder / "dist" / "svd" / "local" / "model.tar.gz")
        return _measure(sandbox, {"sagepack deploy": deploy, "AWS CLI": typed}, project, runs)


def _measure(sandbox: Sandbox, commands: dict[str, Sequence[str]], project: Project, runs: int) -> str:
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
        with (project.folder / "inference_code" / "svd" / "inference.py").open("a") as code:
            code.write("# one more line\n")

    found = {}
    for latency in LATENCIES:
        found[latency] = side_by_side(commands, runs, turn)
    turn("")
    title = "### Edit deployed, time to each answer"
    return f"{title}\n\n{by_latency(found, {'requests': requests, 'MiB sent': sent})}\n"


def _typed(sandbox: Sandbox, archive: Path) -> list[str]:
    """The command of the AWS CLI's calls, for an endpoint of its own that is like ours."""
    box = sandbox.box
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
    arguments = [aws_cli(), str(archive), model["ExecutionRoleArn"], *map(json.dumps, documents)]
    return sandbox.command("bash", "-c", _TYPED, "bash", *arguments)
