"""A plan that somebody looks at before it is carried out, maybe on another machine.

It holds what the plan follows from. Bytes to fetch and local steps are no part of that: they differ from machine to machine.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from sagepack.api.results import Plan
from sagepack.decoding import Value, seal, unseal
from sagepack.engine.records import differences
from sagepack.errors import UserError
from sagepack.files import require_output, write_output

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.deploy.change import Change
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action

_FORMAT = 1
_BEGINNING = re.compile(rb'\{"format": [0-9]+, "sha256": "[0-9a-f]{64}", "content": \{"plan":')  # of any format
_MAX_BYTES = 64 << 20


class ReviewedPlan(Value, frozen=True):
    """A plan, and what it follows from.

    Attributes:
        plan: the plan as it was shown.
        settings: the values of the spec, by key.
        image: address of the image, by digest.
        files: digest of each file of the package.
    """

    plan: Plan
    settings: dict[str, Any]
    image: str
    files: dict[str, str]

    @classmethod
    def of(cls, context: BuildContext, plan: Plan) -> ReviewedPlan:
        """The plan with what it follows from.

        Raises:
            UserError: no lock is up to date with the spec, so that nobody knows yet what would be deployed.
        """
        return cls(
            plan,
            msgspec.json.decode(msgspec.json.encode(context.spec)),  # as `read` finds them
            context.required_lock().image_uri,
            {member.path: str(member.digest) for member in context.manifest.members},
        )

    @classmethod
    def read(cls, path: Path) -> ReviewedPlan:
        """The plan that `write` wrote.

        Raises:
            UserError: there is no such file, or it is no plan of this version.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_BYTES)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=str(path), fix="check --plan") from error
        found = unseal(data, _FORMAT, cls)
        if found is None:
            fix = "make it again: `invoke plan --to deploy --out FILE`"
            raise UserError("not a plan of this version of sagepack, or damaged", where=str(path), fix=fix)
        return found

    def write(self, path: Path) -> None:
        """Write the plan for `read`.

        Raises:
            UserError: a folder or a file that is no plan is there, or the disk refuses.
        """
        require_output(path, str(path), "--out", "plan", lambda head: _BEGINNING.match(head) is not None)
        write_output(path, seal(self, _FORMAT))

    def check(self, context: BuildContext, actions: Sequence[Action]) -> None:
        """Check that what would be done now is what was looked at, or a part of it that is left.

        Raises:
            UserError: it is not; the details say what changed since.
        """
        planned, goal = self.plan.actions[-1].step if self.plan.actions else "none", actions[-1].step
        if planned != goal:
            fix = f"make one with `invoke plan --to {goal} --out FILE`"
            raise UserError(f"the plan ends with the step {planned!r}, not with {goal!r}", where="--plan", fix=fix)
        now = ReviewedPlan.of(context, Plan(self.plan.goal, tuple(actions)))
        changed = [
            *(_key(difference) for difference in differences(self.settings, now.settings)),
            *(["the image behind the tag changed"] if now.image != self.image else []),
            *differences(self.files, now.files),
        ]
        if not changed:  # otherwise the endpoint differs because they do
            changed = [change.reason for change in now.changes if change not in self.changes]
        if changed:
            raise UserError(
                "what was reviewed is not what would be done now",
                details=[f"since the plan: {line}" for line in changed],
                fix="the endpoint was not changed; make the plan again and look at it",
            )

    def up_to(self, step: str) -> ReviewedPlan:
        """The part of the plan that ends with a step."""
        number = next(number for number, action in enumerate(self.plan.actions, 1) if action.step == step)
        return replace(self, plan=replace(self.plan, actions=self.plan.actions[:number]))

    @property
    def changes(self) -> list[Change]:
        """What is done to resources of AWS."""
        return [change for action in self.plan.actions for change in action.changes]


def _key(difference: str) -> str:
    """A difference of settings, with the key as the spec has it."""
    path, _, verb = difference.partition(" ")
    return f"{path.replace('/', '.')} {verb}"
