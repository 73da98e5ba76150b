"""What an exported file cannot say of a deployment, or `deploy` does besides: sentences for whoever hands the file over. Pure.

They say nothing that depends on the time or on what is in AWS, since they stand in a file that is compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.logs import log_group
from sagepack.deploy.alarm_names import key_of
from sagepack.deploy.rollout import rollback_alarms
from sagepack.text import counted, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.model import Spec


def limits(spec: Spec, tool: str, selection: str, *, creates_role: bool) -> tuple[str, ...]:
    """What is to be known, one sentence or two each.

    Args:
        spec: what is exported.
        tool: `cloudformation`, `cdk` or `terraform`.
        selection: the flags that select the spec, for commands.
        creates_role: whether the execution role is among what the tool makes.
    """
    return (
        *_of_every_tool(spec, selection, creates_role=creates_role),
        *_of_stacks(spec, tool),
        *_of_tool(spec, tool, selection),
    )


def _of_every_tool(spec: Spec, selection: str, *, creates_role: bool) -> Iterator[str]:
    endpoint = spec.endpoint
    if spec.sandbox:
        yield "It names the account and the bucket of the sandbox, which AWS does not have: export another environment with --env."
    yield (
        "Nothing tries the endpoint after an update, as `deploy` does with the sample: InService does not say that it answers. Run "
        f"`sagepack predict {selection}`."
    )
    yield (
        "No release is recorded: `releases`, `rollback` and `promote` know only what `deploy` did. To go back, go back in git, export, "
        "and update."
    )
    yield "The package has to be in S3 before: `sagepack upload` publishes it, and no other tool does."
    if creates_role:
        yield f"The role {spec.aws.role} must not exist yet."
    else:
        yield f"The role {spec.aws.role} has to exist: `sagepack policy --for execution {selection}` says what it may do."
    if spec.trust.verify and spec.artifact.layout == "archive":
        yield (
            "S3DataSource.ETag is left out, which no tool but `deploy` can say: SageMaker loads whatever lies at the address of the "
            "package. The signature was verified when this was exported."
        )
    if (update := endpoint.update) and endpoint.scaling and update != type(update)():
        yield (
            f"The steps of an update are those of {counted(endpoint.initial_instance_count, 'instance')}, whatever automatic scaling has made "
            "of that; `deploy` takes those of the instances that run."
        )
    if others := [name for name in rollback_alarms(endpoint) if key_of(name) is None]:
        yield f"The alarms of `endpoint.update.rollback_alarms` that are not of this spec have to exist: {one_of(others)}."
    if endpoint.log_retention_in_days is not None:
        yield (
            f"The log group {log_group(endpoint.name)} must not exist yet: SageMaker makes it when the first container starts. Import it, "
            "or delete it."
        )
    if scaling := endpoint.scaling:
        if any(each.at.startswith("at(") for each in scaling.schedule):
            yield "A time `at(...)` of the schedule that has passed may be refused: remove it from the spec, and export again."
        if scaling.schedule:
            yield "A change of the bounds of scaling sets those back that a scheduled action has set, until its next time."


def _of_stacks(spec: Spec, tool: str) -> Iterator[str]:
    if spec.endpoint.scaling and tool != "terraform":
        yield (
            "SageMaker refuses another instance type as long as the endpoint is scaled. Update the stack three times: with the parameter "
            "AutoScaling=Disabled and the old template, with Disabled and the new one, with Enabled and the new one."
        )
    if any("<" in text for pair in spec.endpoint.tags.items() for text in pair):
        yield "A tag has a `<`, which CloudFormation may refuse."


def _of_tool(spec: Spec, tool: str, selection: str) -> Iterator[str]:
    if tool == "cdk":
        yield from _of_cdk(selection)
    elif tool == "terraform":
        yield from _of_terraform(spec)


def _of_terraform(spec: Spec) -> Iterator[str]:
    endpoint, key = spec.endpoint, spec.endpoint.kms_key_id
    yield "No test of sagepack has run Terraform: names and types are compared with those that the provider hashicorp/aws 6.45 knows."
    yield (
        "A model or configuration that `deploy` made may have the same name, and Terraform cannot make it again: destroy that endpoint "
        "first, or import what is there."
    )
    if not endpoint.detailed_observability:
        yield (
            "The provider knows no MetricsConfig: SageMaker publishes detailed metrics of a new configuration, for which CloudWatch charges."
        )
    if endpoint.scaling:
        yield (
            "The provider cannot keep the number of instances in an update (no RetainAllVariantProperties): each one begins with "
            f"{counted(endpoint.initial_instance_count, 'instance')}, and scaling goes on from there."
        )
        yield (
            "SageMaker refuses another instance type as long as the endpoint is scaled: set `endpoint.scaling` to null, export and apply; "
            "change the type, export and apply; set it again. The order of the three was not tried."
        )
    if key and not key.startswith("arn:"):
        yield f"The provider takes the key of the volumes by its ARN alone: write that into endpoint.kms_key_id, in place of {key}."


def _of_cdk(selection: str) -> Iterator[str]:
    yield (
        "construct.ts says by overrides what CustomSageMakerEndpoint cannot: the image by its digest; a role that exists, without further "
        "rights; network isolation; the environment of the container and no other variable; several instance types; the image of the host; "
        "keys; metrics; own topics or none; that an update keeps the number of instances; guardrails; scaling to no instance and back, or "
        "none; schedules; and, beside it, alarms and the log group."
    )
    yield (
        "It sets besides: `Mode: SingleModel` and `InitialVariantWeight: 1`, which SageMaker assumes; and an archive by ModelDataUrl, which "
        "means the same. `cdk deploy -c variant=include` takes include.ts instead: the template and nothing else."
    )
    yield (
        "`grantInvoke` of the construct allows InvokeEndpoint, and asynchronous requests need InvokeEndpointAsync: "
        f"`sagepack policy --for predict {selection}` prints what a caller needs."
    )
    yield "The app is written for the versions in package.json, and stops where another one of the construct has its parts elsewhere."
