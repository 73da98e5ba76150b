"""SageMaker's operations for models, endpoint configurations and endpoints, over the model of AWS in `hosting`.

Errors have AWS's codes and, as far as they are known, its messages. Requests are stored unchanged, so that descriptions
have every field of them.
"""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import automatic_scaling, guardrails, moto_metrics, moto_scaling, moto_state, quotas
from sagepack.sandbox.aws.attached import Attached
from sagepack.sandbox.aws.hosting import (
    NO_CAPACITY,
    TRANSITIONS,
    Configuration,
    DeploymentOutcome,
    Endpoint,
    RegionState,
    Scenario,
)
from sagepack.sandbox.aws.hosting_rules import (
    RESOURCES,
    arn_of,
    check_container,
    check_name,
    check_variant,
    description,
    instance_counts,
    instance_types,
    invalid,
    placed,
    summary,
    unreachable_data,
)
from sagepack.sandbox.aws.wsgi import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.sandbox.aws.clock import Clock
    from sagepack.sandbox.aws.wsgi import JsonObject


# Kind of a resource in its ARN -> its name in the fields of requests and responses.
_FIELDS = {"model": "Model", "endpoint-config": "EndpointConfig", "endpoint": "Endpoint"}


class HostingApi:
    """The operations by name, and the state that they work on. Safe to call from several threads."""

    def __init__(self, scenario: Scenario, clock: Clock) -> None:
        self._scenario, self._clock = scenario, clock
        self._regions: dict[str, RegionState] = {}
        self._attached = Attached()
        self._lock = threading.RLock()
        self._operations: dict[str, Callable[[str, JsonObject], JsonObject]] = {
            "CreateModel": self._create_model,
            "DescribeModel": lambda region, body: self._describe(region, "model", body["ModelName"]),
            "DeleteModel": self._delete_model,
            "CreateEndpointConfig": self._create_config,
            "DescribeEndpointConfig": lambda region, body: self._describe(
                region, "endpoint-config", body["EndpointConfigName"]
            ),
            "DeleteEndpointConfig": self._delete_config,
            "CreateEndpoint": self._create_endpoint,
            "UpdateEndpoint": self._update_endpoint,
            "DescribeEndpoint": self._describe_endpoint,
            "DeleteEndpoint": self._delete_endpoint,
            "ListModels": lambda region, body: self._list(region, "model", body),
            "ListEndpointConfigs": lambda region, body: self._list(region, "endpoint-config", body),
            "ListEndpoints": lambda region, body: self._list(region, "endpoint", body),
            "UpdateEndpointWeightsAndCapacities": self._set_capacities,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def reset(self) -> None:
        """Forget all models, configurations and endpoints."""
        with self._lock:
            self._regions.clear()
            self._attached.reset()

    def knows(self, operation: str) -> bool:
        """Whether the operation is one of these."""
        return operation in self._operations or self._attached.knows(operation)

    def call(self, operation: str, region: str, body: JsonObject) -> JsonObject:
        """Execute an operation and return its response.

        Raises:
            AwsError: the response is an error.
        """
        with self._lock:
            if error := self._scenario.next_error(operation):
                raise AwsError(error.code, error.message, error.status)
            if self._attached.knows(operation):
                return self._attached.call(operation, region, body, self._clock.now())
            return self._operations[operation](region, body)

    def endpoint(self, region: str, name: str) -> Endpoint:
        """The endpoint with a name.

        Raises:
            AwsError: it does not exist.
        """
        with self._lock:
            found = self._region(region).endpoints.get(name.lower())
            if found is None or found.status == "Deleted":
                raise invalid(f'Could not find endpoint "{arn_of(region, "endpoint", name)}".')
            return found

    def pass_time(self) -> None:
        """Let happen what is due to the fleets of all endpoints: instances start and stop, fleets fall asleep and wake."""
        with self._lock:
            for region, state in self._regions.items():
                for endpoint in state.endpoints.values():
                    check = partial(self._check_scaling, region, endpoint)
                    times, now = self._scenario.fleet_times, self._clock.now()
                    automatic_scaling.pass_time(region, endpoint, check, times, now)
                    self._watch_update(region, endpoint, now)

    def _watch_update(self, region: str, endpoint: Endpoint, now: float) -> None:
        """Roll an update back if one of its alarms is in ALARM, or if it takes too long."""
        if endpoint.status != "Updating" or endpoint.pending is None:
            return
        if names := guardrails.alarms(endpoint.next_deployment):
            # First those that a test has set: the next line looks at the metrics again.
            tripped = moto_metrics.in_alarm(region, names)
            moto_metrics.publish(region, endpoint, self._scenario.fleet_times.alarm, now)
            if tripped := tripped or moto_metrics.in_alarm(region, names):
                # Made up: nobody has published what SageMaker says then.
                reason = f"The deployment was rolled back because of the CloudWatch alarm {', '.join(tripped)}."
                endpoint.roll_back(reason, now)
                return
        limit = guardrails.timeout(endpoint.next_deployment)
        if now - endpoint.modified >= limit:
            endpoint.roll_back(f"The deployment did not end within {limit:g} seconds.", now)

    def _check_scaling(self, region: str, endpoint: Endpoint, counts: dict[str, int]) -> str | None:
        """Check that automatic scaling may set these counts: no instance starts without its model.

        Returns:
            Why they will not start although AWS tries; None if they will.
        """
        if error := self._scenario.next_error("UpdateEndpointWeightsAndCapacities"):  # which is what it calls
            raise AwsError(error.code, error.message, error.status)
        if sum(counts.values()) > sum(endpoint.counts.values()):
            for model in endpoint.config.models:
                self._find(region, "model", model)
            self._check_quota(region, endpoint, counts)
        return self._obstacle(endpoint, endpoint.config, counts, endpoint.kinds)

    def _obstacle(
        self, endpoint: Endpoint, config: Configuration, counts: dict[str, int], running: dict[str, dict[str, int]]
    ) -> str | None:
        """Choose the instances of these counts, as `next_kinds`; why they will not start beside those that run, or None."""
        without, chosen = self._scenario.without_capacity, dict[str, dict[str, int]]()
        for variant, kinds in instance_types(config.request).items():
            found = placed(kinds, counts[variant], running.get(variant, {}), without) if kinds else {}
            if found is None:
                return NO_CAPACITY
            chosen[variant] = found
        endpoint.next_kinds = chosen
        return None

    def _check_quota(self, region: str, endpoint: Endpoint, counts: dict[str, int]) -> None:
        """Check that the quotas allow the additional instances of these counts."""
        more = {variant: max(0, count - endpoint.counts[variant]) for variant, count in counts.items()}
        types = {
            variant: kind for variant, kind in instance_types(endpoint.config.request).items() if more.get(variant)
        }
        quotas.check(types, more, self._instances_in_use(region))

    def note_new_bounds(self, region: str, name: str) -> None:
        """Compare the fleet of an endpoint with the scalable target that the request in progress registers.

        Raises:
            AwsError: the endpoint does not exist.
        """
        with self._lock:
            self.endpoint(region, name).fleet.new_bounds = True

    def queue(self, endpoint: Endpoint, requests: int) -> None:
        """Add requests to the backlog of an endpoint; a negative number takes answered ones away."""
        with self._lock:
            fleet = endpoint.fleet
            before, fleet.backlog = fleet.backlog, fleet.backlog + requests
            if (before == 0) != (fleet.backlog == 0):
                fleet.changed = self._clock.now()

    def fail(self, endpoint: Endpoint) -> None:
        """Count a request that failed."""
        with self._lock:
            endpoint.fleet.failures.append(self._clock.now())

    def expire(self, endpoint: Endpoint) -> None:
        """Count a request that expired in the queue, and take it out of the backlog."""
        with self._lock:
            endpoint.fleet.expired.append(self._clock.now())
            self.queue(endpoint, -1)

    def publish_metrics(self, region: str) -> None:
        """Write the metrics of the endpoints of a region into moto, for the request in progress that asks for them."""
        with self._lock:
            moto_metrics.correct_new_alarms(region)
            for endpoint in self._region(region).endpoints.values():
                if endpoint.status != "Deleted":
                    seconds = self._scenario.fleet_times.alarm
                    moto_metrics.publish(region, endpoint, seconds, self._clock.now())

    def scaling_activities(self, region: str, body: JsonObject) -> JsonObject:
        """The response of DescribeScalingActivities."""
        with self._lock:
            return automatic_scaling.activities(self._region(region).endpoints.values(), body)

    def _region(self, name: str) -> RegionState:
        return self._regions.setdefault(name, RegionState())

    def _find(self, region: str, kind: str, name: str) -> JsonObject:
        state = self._region(region)
        found = state.requests(kind).get(name)
        if found is None:
            raise invalid(f'Could not find {RESOURCES[kind]} "{arn_of(region, kind, name)}".')
        return found

    def _describe(self, region: str, kind: str, name: str) -> JsonObject:
        return {**self._find(region, kind, name), f"{_FIELDS[kind]}Arn": arn_of(region, kind, name)}

    def _create(self, region: str, kind: str, name: str, body: JsonObject) -> JsonObject:
        state = self._region(region)
        fields = {key: value for key, value in body.items() if key != "Tags"}
        state.requests(kind)[name] = {**fields, "CreationTime": self._clock.now()}
        arn = arn_of(region, kind, name)
        state.tags[arn] = {tag["Key"]: tag["Value"] for tag in body.get("Tags", [])}
        return {f"{_FIELDS[kind]}Arn": arn}

    def _create_model(self, region: str, body: JsonObject) -> JsonObject:
        name, role = check_name(body["ModelName"]), body.get("ExecutionRoleArn", "")
        if name in self._region(region).models:
            raise invalid(f'Cannot create already existing model "{arn_of(region, "model", name)}".')
        if ("PrimaryContainer" in body) == ("Containers" in body):
            raise invalid("Provide either PrimaryContainer or Containers.")
        for container in body.get("Containers") or [body["PrimaryContainer"]]:
            check_container(container, role, region)
        return self._create(region, "model", name, {"EnableNetworkIsolation": False, **body})

    def _delete_model(self, region: str, body: JsonObject) -> JsonObject:
        self._find(region, "model", body["ModelName"])
        self._delete(region, "model", body["ModelName"])
        return {}

    def _create_config(self, region: str, body: JsonObject) -> JsonObject:
        name = check_name(body["EndpointConfigName"])
        if name in self._region(region).configs:
            arn = arn_of(region, "endpoint-config", name)
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in body["ProductionVariants"]:
            self._find(region, "model", variant["ModelName"])
            check_variant(variant)
        return self._create(region, "endpoint-config", name, body)

    def _delete_config(self, region: str, body: JsonObject) -> JsonObject:
        name = body["EndpointConfigName"]
        self._find(region, "endpoint-config", name)
        self._delete(region, "endpoint-config", name)
        return {}

    def _delete(self, region: str, kind: str, name: str) -> None:
        state = self._region(region)
        state.requests(kind).pop(name)
        state.tags.pop(arn_of(region, kind, name), None)

    def _create_endpoint(self, region: str, body: JsonObject) -> JsonObject:
        name, state = check_name(body["EndpointName"]), self._region(region)
        arn, existing = arn_of(region, "endpoint", name), state.endpoints.get(name.lower())
        if existing and existing.status != "Deleted":
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._configuration(region, body["EndpointConfigName"])
        endpoint = Endpoint(name, arn, config, self._clock.now(), next_counts=instance_counts(config.request))
        quotas.check(instance_types(config.request), endpoint.next_counts, self._instances_in_use(region))
        endpoint.next_deployment = body.get("DeploymentConfig")
        self._begin(region, endpoint, "Creating")
        state.endpoints[name.lower()] = endpoint
        state.tags[arn] = {tag["Key"]: tag["Value"] for tag in body.get("Tags", [])}
        return {"EndpointArn": arn}

    def _configuration(self, region: str, name: str) -> Configuration:
        request = self._find(region, "endpoint-config", name)
        variants = (*request["ProductionVariants"], *request.get("ShadowProductionVariants", ()))
        models = {variant["ModelName"] for variant in variants}
        return Configuration(request, {model: self._find(region, "model", model) for model in models})

    def _begin(self, region: str, endpoint: Endpoint, status: str) -> None:
        outcome = self._scenario.next_outcome(endpoint.name)
        if status in {"Creating", "Updating"}:
            config = endpoint.pending or endpoint.config
            obstacle = self._obstacle(endpoint, config, endpoint.next_counts, {}) or unreachable_data(region, config)
            if obstacle and outcome.kind == "ok":
                outcome = DeploymentOutcome("fail", obstacle)
        endpoint.begin(status, outcome, self._clock.now())
        if outcome.log:
            moto_state.log(region, endpoint.name, outcome.log)

    def _update_endpoint(self, region: str, body: JsonObject) -> JsonObject:
        endpoint = self._not_in_transition(region, body["EndpointName"])
        if endpoint.status == "Failed":
            raise invalid(f'Cannot update endpoint "{endpoint.arn}" in status Failed.')
        config = self._configuration(region, body["EndpointConfigName"])
        self._find(region, "endpoint-config", endpoint.config.name)  # AWS compares the new one with the old one
        types = instance_types(config.request)
        if moto_scaling.scaled_variants(region, endpoint.name) and types != instance_types(endpoint.config.request):
            raise invalid("Deregister the scalable target before you change the instance type of its variant.")
        counts = instance_counts(config.request)
        if body.get("RetainAllVariantProperties"):
            counts |= {name: n for name, n in endpoint.counts.items() if name in counts}
        # Both fleets run for a while: the old one counts as well.
        quotas.check(types, counts, self._instances_in_use(region))
        rollout = body.get("DeploymentConfig")
        if rollout is not None:
            guardrails.check(rollout, sum(counts.values()), (endpoint.counts, counts))
        if (names := guardrails.alarms(rollout)) and (missing := moto_metrics.missing(region, names)):
            raise invalid(f"The CloudWatch alarm {', '.join(missing)} does not exist.")
        endpoint.pending, endpoint.next_deployment = config, rollout
        endpoint.next_counts, endpoint.wait = counts, guardrails.waiting_seconds(rollout, sum(counts.values()))
        self._begin(region, endpoint, "Updating")
        return {"EndpointArn": endpoint.arn}

    def _instances_in_use(self, region: str) -> Counter[str]:
        """The instances of all endpoints of a region, by their type."""
        used = Counter[str]()
        for endpoint in self._region(region).endpoints.values():
            if endpoint.status != "Deleted":
                for kinds in (endpoint.kinds or endpoint.next_kinds).values():
                    used.update(kinds)
        return used

    def _not_in_transition(self, region: str, name: str) -> Endpoint:
        endpoint = self.endpoint(region, name)
        if endpoint.status in TRANSITIONS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _delete_endpoint(self, region: str, body: JsonObject) -> JsonObject:
        endpoint = self._not_in_transition(region, body["EndpointName"])
        moto_scaling.deregister_targets(region, endpoint.name)
        self._begin(region, endpoint, "Deleting")
        return {}

    def _describe_endpoint(self, region: str, body: JsonObject) -> JsonObject:
        endpoint = self.endpoint(region, body["EndpointName"])
        endpoint.poll(self._scenario.transition_time, self._clock.now())
        endpoint = self.endpoint(region, body["EndpointName"])  # it does not exist if its deletion has just ended
        return description(endpoint, region)

    def _set_capacities(self, region: str, body: JsonObject) -> JsonObject:
        endpoint = self._not_in_transition(region, body["EndpointName"])
        counts = dict(endpoint.counts)
        for desired in body["DesiredWeightsAndCapacities"]:
            if desired["VariantName"] not in endpoint.counts:
                raise invalid(f"The variant {desired['VariantName']} does not exist on endpoint {endpoint.arn}.")
            if "DesiredInstanceCount" in desired:
                counts[desired["VariantName"]] = desired["DesiredInstanceCount"]
        self._check_quota(region, endpoint, counts)
        obstacle = self._obstacle(endpoint, endpoint.config, counts, endpoint.kinds)
        endpoint.resize(counts, self._clock.now(), obstacle)
        return {"EndpointArn": endpoint.arn}

    def _list(self, region: str, kind: str, body: JsonObject) -> JsonObject:
        state, prefix = self._region(region), _FIELDS[kind]
        if kind == "endpoint":
            items = [summary(endpoint) for endpoint in state.endpoints.values() if endpoint.status != "Deleted"]
        else:
            items = [
                {
                    f"{prefix}Name": name,
                    f"{prefix}Arn": arn_of(region, kind, name),
                    "CreationTime": request["CreationTime"],
                }
                for name, request in state.requests(kind).items()
            ]
        items = [item for item in items if body.get("NameContains", "") in item[f"{prefix}Name"]]
        items.sort(key=lambda item: item["CreationTime"], reverse=body.get("SortOrder") != "Ascending")
        first, size = int(body.get("NextToken") or 0), int(body.get("MaxResults") or 10)
        more = {"NextToken": str(first + size)} if first + size < len(items) else {}
        return {f"{prefix}s": items[first : first + size], **more}

    def _tags(self, region: str, arn: str) -> dict[str, str]:
        tags = self._region(region).tags
        if arn not in tags:
            raise invalid(f"Could not find resource {arn}.")
        return tags[arn]

    def _add_tags(self, region: str, body: JsonObject) -> JsonObject:
        tags = self._tags(region, body["ResourceArn"])
        tags |= {tag["Key"]: tag["Value"] for tag in body["Tags"]}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _list_tags(self, region: str, body: JsonObject) -> JsonObject:
        tags = self._tags(region, body["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete_tags(self, region: str, body: JsonObject) -> JsonObject:
        tags = self._tags(region, body["ResourceArn"])
        for key in body["TagKeys"]:
            tags.pop(key, None)
        return {}
