"""The endpoint: volume, concurrency, scaling, topics, and the account it is in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.spec import images
from sagepack.spec.rules import instances
from sagepack.spec.rules.view import Finding
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import Facts

SANDBOX = {"account": "123456789012", "region": "us-east-1", "role": "arn:aws:iam::123456789012:role/sagepack-sandbox"}
# Accounts of the examples in AWS's documentation: nobody's.
_EXAMPLES = {"111122223333", "444455556666", "777788889999", "123456789012"}
_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):\w+:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):.*")


def check(facts: Facts) -> Iterator[Finding]:
    """Everything about `endpoint` and `aws` that no schema and no single range can say."""
    yield from _volume(facts)
    yield from _concurrency(facts)
    yield from _scaling(facts)
    yield from _topics(facts)
    yield from _region(facts)
    yield from _role(facts)
    yield from _account(facts)
    yield from _isolation(facts)


def _volume(facts: Facts) -> Iterator[Finding]:
    instance = instances.parse(facts.text("endpoint", "instance_type"))
    if instance and instance.refuses_volume and facts.number("endpoint", "volume_size_in_gb") is not None:
        yield Finding(
            ("endpoint", "volume_size_in_gb"),
            f"instances of the family {instance.family} have disks of their own; SageMaker refuses a volume size for them",
            "remove it",
        )


def _concurrency(facts: Facts) -> Iterator[Finding]:
    path = ("endpoint", "async", "max_concurrent_invocations_per_instance")
    wanted = facts.number(*path)
    instance = instances.parse(facts.text("endpoint", "instance_type"))
    workers = facts.integer_text("environment", "SAGEMAKER_MODEL_SERVER_WORKERS")
    # The server starts one worker per GPU unless it is told how many; on processors, one per virtual processor.
    gpus = instance.gpus if instance else None
    able = workers or gpus
    if wanted is None or able is None or wanted <= able:
        return
    who = f"{workers} worker{'s' * (workers > 1)}" if workers else f"one worker for each of {gpus} GPUs"
    yield Finding(
        path,
        f"{wanted} requests at once, but {who}: the rest waits inside the container while its time runs",
        "set it to the number of workers, or SAGEMAKER_MODEL_SERVER_WORKERS if the memory holds more copies of the model",
        warning=True,
    )


def _scaling(facts: Facts) -> Iterator[Finding]:
    low, high = facts.number("endpoint", "scaling", "min_capacity"), facts.number("endpoint", "scaling", "max_capacity")
    count = facts.number("endpoint", "initial_instance_count") or 1
    if low is not None and high is not None and low > high:
        yield Finding(("endpoint", "scaling", "min_capacity"), f"{low} is more than max_capacity, {high}")
    elif high is not None and count > high:
        yield Finding(("endpoint", "initial_instance_count"), f"{count} is more than scaling.max_capacity, {high}")
    elif low is not None and count < low:
        yield Finding(
            ("endpoint", "scaling", "min_capacity"), f"{low} is more than initial_instance_count, {count}", warning=True
        )


def _topics(facts: Facts) -> Iterator[Finding]:
    region = facts.text("aws", "region")
    for key in ("success_topic", "error_topic"):
        match = _ARN.fullmatch(facts.text("endpoint", "async", key) or "")
        if match and region and match["region"] != region:
            yield Finding(("endpoint", "async", key), f"the topic is in {match['region']}, the endpoint in {region}")


def _region(facts: Facts) -> Iterator[Finding]:
    region = facts.text("aws", "region")
    if region and images.account(region) is None and facts.text("image", "account"):
        fix = did_you_mean(region, images.regions()) or f"known are: {one_of(images.regions())}"
        yield Finding(("aws", "region"), f"{region!r} is not a known region", fix, warning=True)


def _role(facts: Facts) -> Iterator[Finding]:
    role, account, region = facts.text("aws", "role"), facts.text("aws", "account"), facts.text("aws", "region")
    match = _ARN.fullmatch(role or "")
    if match and account and match["account"] != account:
        yield Finding(("aws", "role"), f"the role belongs to account {match['account']}, but aws.account is {account}")
    if match and region and match["partition"] != images.partition(region):
        yield Finding(("aws", "role"), f"in {region} an ARN begins with arn:{images.partition(region)}:")


def _account(facts: Facts) -> Iterator[Finding]:
    if facts.get("sandbox") is True:
        for key, value in SANDBOX.items():
            if facts.text("aws", key) not in (None, value):
                yield Finding(("aws", key), f"the sandbox knows {value} alone", "remove `sandbox: true` to use AWS")
    elif (account := facts.text("aws", "account")) in _EXAMPLES:
        message = f"{account} is an account of the examples in AWS's documentation"
        yield Finding(
            ("aws", "account"), message, "put your own account, bucket and role into the overlay", warning=True
        )


def _isolation(facts: Facts) -> Iterator[Finding]:
    if facts.get("endpoint", "enable_network_isolation") is True and facts.texts("code", "requirements"):
        message = "an isolated container cannot install requirements: it does not start"
        yield Finding(("endpoint", "enable_network_isolation"), message, "remove the requirements or the isolation")
