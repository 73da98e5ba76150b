"""Rules about the endpoint: volume, concurrency, scaling, topics, and its account, region and role."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import images
from sagepack.spec.rules import instances, model
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

SANDBOX = {"account": "123456789012", "region": "us-east-1", "role": "arn:aws:iam::123456789012:role/sagepack-sandbox"}
# Accounts in the examples of AWS's documentation. They belong to nobody.
_EXAMPLES = {"111122223333", "444455556666", "777788889999", "123456789012"}
_LONG_WAKE = 900  # seconds
_ARN = re.compile(r"arn:(?P<partition>aws[a-z-]*):\w+:(?P<region>[a-z0-9-]*):(?P<account>\d{12}):.*")


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check what in `endpoint` and `aws` depends on more than one value."""
    yield from _pools(view)
    yield from _volume(view)
    yield from _keys(view)
    yield from _concurrency(view)
    yield from _scaling(view)
    yield from _topics(view)
    yield from _alarms(view)
    yield from _region(view)
    yield from _role(view)
    yield from _account(view)
    yield from _isolation(view)


def _pools(view: SpecView) -> Iterator[Diagnostic]:
    single, pools = ("endpoint", "instance_type"), ("endpoint", "instance_pools")
    entries = view.maps(*pools)
    if view.get(*single) is None and view.get(*pools) is None and view.get("endpoint") is not None:
        fix = "set it, or endpoint.instance_pools with several types to try"
        yield Diagnostic(single, model.MISSING, fix)
    if view.get(*single) is not None and entries:
        yield Diagnostic(
            pools,
            "instance_type is set, too, and SageMaker takes one of them",
            "remove one of them, with null if another layer sets it",
        )
    timeout = ("endpoint", "variant_instance_provision_timeout_in_seconds")
    if view.number(*timeout) is not None and not entries:
        yield Diagnostic(
            timeout, "it is for instance_pools, and there are none", "remove it, or set endpoint.instance_pools"
        )
    kinds: dict[str, int] = {}
    for number, entry in enumerate(entries):
        kind = entry.get("instance_type")
        if isinstance(kind, str) and kinds.setdefault(kind, number) != number:
            yield Diagnostic(
                (*pools, number, "instance_type"), f"{kind} is the type of entry {kinds[kind]}, too", "remove one"
            )


def _parsed(view: SpecView) -> Iterator[instances.Instance]:
    """The instance types of the endpoint whose names have the usual form."""
    for kind in view.instance_types().values():
        if instance := instances.parse(kind):
            yield instance


def _volume(view: SpecView) -> Iterator[Diagnostic]:
    instance = next((each for each in _parsed(view) if each.refuses_volume), None)
    if instance and view.number("endpoint", "volume_size_in_gb") is not None:
        yield Diagnostic(
            ("endpoint", "volume_size_in_gb"),
            f"instances of the family {instance.family} have local disks; SageMaker refuses a volume size for them",
            "remove it",
        )


def _keys(view: SpecView) -> Iterator[Diagnostic]:
    region, instance = view.text("aws", "region"), next((each for each in _parsed(view) if each.refuses_volume), None)
    volume = ("endpoint", "kms_key_id")
    for path in (volume, ("endpoint", "async", "kms_key_id"), ("artifact", "kms_key_id")):
        match = _ARN.fullmatch(view.text(*path) or "")
        if match and region and match["region"] != region:
            yield Diagnostic(
                path, f"the key is in {match['region']}, but aws.region is {region}: keys are of one region"
            )
    if view.text(*volume) and instance:
        # That SageMaker refuses the key, as older editions of its API reference say, could not be observed.
        yield Diagnostic(
            volume,
            f"instances of the family {instance.family} have local disks, which their hardware encrypts, and not this key",
            "remove it, unless a policy of your organization demands a key",
            severity="warning",
        )


def _concurrency(view: SpecView) -> Iterator[Diagnostic]:
    path = ("endpoint", "async", "max_concurrent_invocations_per_instance")
    concurrency = view.number(*path)
    workers = view.integer_text("environment", "SAGEMAKER_MODEL_SERVER_WORKERS")
    # The server starts one worker per GPU by default (without a GPU, one per vCPU).
    known = [each.gpus for each in _parsed(view) if each.gpus is not None]
    gpus = min(known, default=None)
    capacity = workers or gpus
    if concurrency is None or capacity is None or concurrency <= capacity:
        return
    servers = f"{workers} worker{'s' * (workers > 1)}" if workers else f"one worker for each of {gpus} GPUs"
    yield Diagnostic(
        path,
        f"{concurrency} requests at once, but {servers}: the others wait inside the container, and may time out there",
        "set it to the number of workers, or raise SAGEMAKER_MODEL_SERVER_WORKERS if the memory suffices for more copies of the model",
        severity="warning",
    )


def _scaling(view: SpecView) -> Iterator[Diagnostic]:
    low, high = view.number("endpoint", "scaling", "min_capacity"), view.number("endpoint", "scaling", "max_capacity")
    count = view.number("endpoint", "initial_instance_count") or 1
    if low is not None and high is not None and low > high:
        yield Diagnostic(("endpoint", "scaling", "min_capacity"), f"{low} is more than max_capacity, {high}")
    elif high is not None and count > high:
        yield Diagnostic(("endpoint", "initial_instance_count"), f"{count} is more than scaling.max_capacity, {high}")
    elif low is not None and count < low:
        yield Diagnostic(
            ("endpoint", "scaling", "min_capacity"),
            f"{low} is more than initial_instance_count, {count}",
            severity="warning",
        )
    # SageMaker developer guide, "Automatic scaling of Amazon SageMaker AI models", prerequisites.
    instance = next((each for each in _parsed(view) if each.burstable), None)
    if instance and view.get("endpoint", "scaling") is not None:
        yield Diagnostic(
            ("endpoint", "scaling"),
            f"burstable instances, such as ml.{instance.family}, cannot be scaled: AWS refuses it once the endpoint serves",
            "remove endpoint.scaling, or choose another endpoint.instance_type",
        )


def _topics(view: SpecView) -> Iterator[Diagnostic]:
    region = view.text("aws", "region")
    keys: list[KeyPath] = [("endpoint", "async", key) for key in ("success_topic", "error_topic")]
    topics = {key: view.text(*map(str, key)) or "" for key in keys}
    listed = ("endpoint", "alarms", "topics")
    topics |= {(*listed, number): topic for number, topic in enumerate(view.texts(*listed))}
    for path, topic in topics.items():
        match = _ARN.fullmatch(topic)
        if match and region and match["region"] != region:
            yield Diagnostic(path, f"the topic is in {match['region']}, the endpoint in {region}")
        elif match and match[0].endswith(".fifo"):
            # Documented for inference routers; for endpoints it could not be observed.
            message = "a FIFO topic; SageMaker is documented to publish to standard topics only"
            yield Diagnostic(path, message, "use a standard topic", severity="warning")


def _alarms(view: SpecView) -> Iterator[Diagnostic]:
    path = ("endpoint", "alarms", "no_capacity")
    if 0 < (view.number(*path) or 0) < _LONG_WAKE:
        message = "a wake takes 5 to 15 minutes, so this alarm may go off at each of them"
        fix = f"set it to much more than a wake takes, such as {2 * _LONG_WAKE}"
        yield Diagnostic(path, message, fix, severity="warning")


def _region(view: SpecView) -> Iterator[Diagnostic]:
    region = view.text("aws", "region")
    if region and images.account(region) is None and view.text("image", "account"):
        fix = did_you_mean(region, images.regions()) or f"known regions: {one_of(images.regions())}"
        yield Diagnostic(("aws", "region"), f"{region!r} is not a known region", fix, severity="warning")


def _role(view: SpecView) -> Iterator[Diagnostic]:
    role, account, region = view.text("aws", "role"), view.text("aws", "account"), view.text("aws", "region")
    match = _ARN.fullmatch(role or "")
    if match and account and match["account"] != account:
        yield Diagnostic(
            ("aws", "role"), f"the role belongs to account {match['account']}, but aws.account is {account}"
        )
    if match and region and match["partition"] != images.partition(region):
        yield Diagnostic(("aws", "role"), f"in {region} an ARN begins with arn:{images.partition(region)}:")


def _account(view: SpecView) -> Iterator[Diagnostic]:
    if view.get("sandbox") is True:
        for key, value in SANDBOX.items():
            if view.text("aws", key) not in (None, value):
                yield Diagnostic(
                    ("aws", key), f"the sandbox supports only {value}", "remove `sandbox: true` to use AWS"
                )
    elif (account := view.text("aws", "account")) in _EXAMPLES:
        message = f"{account} is an example account of AWS's documentation"
        yield Diagnostic(
            ("aws", "account"), message, "set your own account, bucket and role in the overlay", severity="warning"
        )


def _isolation(view: SpecView) -> Iterator[Diagnostic]:
    is_vendored = view.get("code", "vendor") is True
    if (
        view.get("endpoint", "enable_network_isolation") is True
        and view.texts("code", "requirements")
        and not is_vendored
    ):
        message = "an isolated container cannot install requirements from a package index, and then does not start"
        fix = "pack them: code.vendor: true; or remove the requirements or the isolation"
        yield Diagnostic(("endpoint", "enable_network_isolation"), message, fix)
