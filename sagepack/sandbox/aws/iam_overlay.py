"""SimulatePrincipalPolicy, which moto does not have: what a role's inline policies decide, without conditions.

A model of AWS, not evidence about it; it needs the pinned version of moto.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.sandbox.aws.role_policies import decide

if TYPE_CHECKING:
    from moto.core.responses import ActionResult
    from moto.iam.responses import IamResponse


def install() -> None:
    """Give moto's IAM the operation."""
    from moto.iam.responses import IamResponse

    setattr(IamResponse, "simulate_principal_policy", simulate_principal_policy)  # noqa: B010 - moto does not declare it


def simulate_principal_policy(response: IamResponse) -> ActionResult:
    """What the inline policies of a role decide about each action and resource."""
    from moto.core.responses import ActionResult

    name = response._get_param("PolicySourceArn").rpartition("/")[2]  # noqa: SLF001 - as moto's own operations do
    policies = list(response.backend.get_role(name).policies.values())
    resources = response._get_param("ResourceArns") or ["*"]  # noqa: SLF001
    results = [
        {"EvalActionName": action, "EvalResourceName": resource, "EvalDecision": decide(policies, action, resource)}
        for action in response._get_param("ActionNames")  # noqa: SLF001
        for resource in resources
    ]
    return ActionResult({"EvaluationResults": results, "IsTruncated": False})
