from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from sagepack.deploy.export.limits import limits
from sagepack.spec.keys import build
from sagepack.spec.model import Scaling, Trust, Update
from tests.helpers import deployments
from tests.helpers.exports import SETTINGS

SLEEPS = {"scaling": Scaling(0, 2)}
AT = build(
    Scaling, {"min_capacity": 1, "max_capacity": 2, "schedule": [{"at": "at(2001-01-01T00:00:00)", "min_capacity": 2}]}
)
VERIFIED = Trust(verify=("config/key.pub",))


def told(
    tool: str = "cloudformation", *, trust: Trust | None = None, creates_role: bool = False, **settings: Any
) -> str:
    spec = deployments.spec(**settings)
    if trust:
        spec = structs.replace(spec, trust=trust)
    return "\n".join(limits(spec, tool, "--env prod", creates_role=creates_role))


@pytest.mark.parametrize(
    ("how", "settings", "said"),
    [
        ({}, {}, "It names the account and the bucket of the sandbox"),
        ({}, {}, "Nothing tries the endpoint"),
        ({}, {}, "No release is recorded"),
        ({}, {}, "role/sagepack-sandbox has to exist"),
        ({"creates_role": True}, {}, "role/sagepack-sandbox must not exist yet"),
        ({"trust": VERIFIED}, {}, "S3DataSource.ETag is left out"),
        ({}, {"scaling": AT}, "A time `at(...)`"),
        ({}, {"scaling": AT}, "sets those back"),
        ({}, {"log_retention_in_days": 30}, "The log group /aws/sagemaker/Endpoints/svd must not exist yet"),
        ({}, {"update": SETTINGS["update"], **SLEEPS}, "The steps of an update are those of 1 instance,"),
        ({}, {"update": SETTINGS["update"]}, "that are not of this spec have to exist: somebodys"),
        ({}, SLEEPS, "AutoScaling=Disabled"),
        ({"tool": "cdk"}, SLEEPS, "AutoScaling=Disabled"),
        ({"tool": "cdk"}, {}, "construct.ts says by overrides"),
        ({"tool": "terraform"}, {}, "No test of sagepack has run Terraform"),
        ({"tool": "terraform"}, {}, "knows no MetricsConfig"),
        ({"tool": "terraform"}, SLEEPS, "begins with 1 instance,"),
        ({"tool": "terraform"}, SLEEPS, "set `endpoint.scaling` to null"),
        ({"tool": "terraform"}, {"kms_key_id": "alias/volumes"}, "in place of alias/volumes"),
        ({}, {"tags": {"team": "a<b"}}, "A tag has a `<`"),
    ],
)
def test_what_a_tool_does_not_say_or_do_is_told_where_it_matters(
    how: dict[str, Any], settings: dict[str, Any], said: str
) -> None:
    assert said in told(**how, **settings)


@pytest.mark.parametrize(
    ("how", "settings", "not_said"),
    [
        ({"trust": VERIFIED}, {"layout": "prefix"}, "ETag"),
        ({}, {}, "log group"),
        ({}, {}, "AutoScaling"),
        ({}, {"update": Update(), **SLEEPS}, "The steps of an update"),
        ({"tool": "terraform"}, SLEEPS, "AutoScaling=Disabled"),
        ({"tool": "terraform"}, {"detailed_observability": True}, "MetricsConfig"),
        ({"tool": "terraform"}, {"kms_key_id": "arn:aws:kms:us-east-1:123456789012:key/x"}, "in place of"),
        ({}, {}, "Terraform"),
    ],
)
def test_what_does_not_matter_is_not_told(how: dict[str, Any], settings: dict[str, Any], not_said: str) -> None:
    assert not_said not in told(**how, **settings)
