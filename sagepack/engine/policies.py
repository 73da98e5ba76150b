"""The IAM policies of a spec, by who needs them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import structs

from sagepack.aws.iam_policy import document
from sagepack.deploy.iam_policy import deploy_policy, execution_policy, predict_policy, trust_policy
from sagepack.deploy.iam_policy import removal_statements as deployed
from sagepack.engine.remote.policy import remote_execution_policy, remote_policy
from sagepack.publish.iam_policy import publish_policy, sign_policy, worker_policy
from sagepack.publish.iam_policy import removal_statements as published
from sagepack.publish.keys import packages_uri

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.spec.model import Spec

# Actions that change nothing begin with one of these.
_READS = ("Get", "List", "Describe", "BatchGet", "Filter", "Simulate")


def plan_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever plans and runs `doctor`: of publishing and deploying, what changes nothing."""
    deploying = deploy_policy(structs.replace(spec, smoke=False))  # a plan sends no request
    return document(
        {**one, "Action": reads}
        for one in (*publish_policy(spec)["Statement"], *deploying["Statement"])
        if (reads := [action for action in one["Action"] if action.partition(":")[2].startswith(_READS)])
    )


def gc_policy(spec: Spec) -> dict[str, Any]:
    """An identity policy for whoever removes what nobody needs any more of a spec and environment."""
    return document([*published(spec), *deployed(spec)])


POLICIES: dict[str, Callable[[Spec], dict[str, Any]]] = {
    "plan": plan_policy,
    "publish": publish_policy,
    "worker": worker_policy,
    "sign": sign_policy,
    "deploy": deploy_policy,
    "predict": predict_policy,
    "gc": gc_policy,
    "remote": remote_policy,
    "execution": lambda spec: execution_policy(spec, packages_uri(spec)),
    "remote-execution": remote_execution_policy,
    "trust": lambda _spec: trust_policy(),
}
"""Who needs a policy -> what makes it: identity policies of people and programs that plan, publish (as a worker of a cluster too), sign, deploy, send requests, remove garbage, or
publish by a job in the region; the permissions of the execution role (`aws.role`) and of that job's role (`remote.role`), and who may assume them."""
