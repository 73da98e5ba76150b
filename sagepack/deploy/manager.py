"""Whether another tool manages a resource: what a stack makes is changed by that stack alone, or the two undo each other's work.

The tag `sagepack:managed-by`, which everything exported has, decides. Where it is absent, CloudFormation's own tags do (its user
guide, "Resource tag"): people import resources into stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.deploy.change import MANAGED_FIX
from sagepack.deploy.deployment import TAG_MANAGED_BY
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

OURS = "sagepack"
"""The value of the tag of a resource that this program manages, whatever other tags say: the way back from a stack."""
_STACK = "aws:cloudformation:stack-name"
_TOOLS = {"cloudformation": "CloudFormation", "cdk": "the CDK", "terraform": "Terraform"}


def manager(tags: Mapping[str, str]) -> str | None:
    """Who manages a resource with these tags, for people; None if it is this program, or nobody."""
    tool, stack = tags.get(TAG_MANAGED_BY), tags.get(_STACK)
    if tool == OURS or (tool is None and stack is None):
        return None
    return f"the CloudFormation stack {stack}" if stack else _TOOLS.get(tool or "", tool)


def managed(endpoint_name: str, who: str) -> str:
    """That an endpoint is managed by `who`, for people."""
    return f"endpoint {endpoint_name} is managed by {who}, which alone changes it"


def require_unmanaged(endpoint_name: str, tags: Mapping[str, str], fix: str = MANAGED_FIX) -> None:
    """Check that no other tool manages an endpoint.

    Args:
        endpoint_name: its name.
        tags: its tags.
        fix: what to do if one does.

    Raises:
        UserError: one does.
    """
    if who := manager(tags):
        raise UserError(managed(endpoint_name, who), fix=fix)  # which begins with the endpoint
