"""SageMaker's operations for models, configurations and endpoints, over the model of AWS in `hosting`.

Errors have the code and, as far as known, the words of AWS. What a request holds is kept as it came, so that descriptions
have every field of it.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting import TRANSITIONS, Endpoint, Region, Scenario
from sagepack.sandbox.aws.hosting_rules import (
    WORDS,
    AwsError,
    arn_of,
    check_container,
    check_variant,
    counts,
    description,
    invalid,
    named,
    summary,
    types,
)

if TYPE_CHECKING:
    from collections.abc import Callable

Document = dict[str, Any]


class HostingApi:
    """Operations by name. Safe to call from several threads."""

    def __init__(self, script: Scenario) -> None:
        self._script = script
        self._regions: dict[str, Region] = {}
        self._lock = threading.RLock()
        self._operations: dict[str, Callable[[str, Document], Document]] = {
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
            "ListModels": lambda region, body: self._list(region, "Model", body),
            "ListEndpointConfigs": lambda region, body: self._list(region, "EndpointConfig", body),
            "ListEndpoints": lambda region, body: self._list(region, "Endpoint", body),
            "UpdateEndpointWeightsAndCapacities": self._set_capacities,
            "AddTags": self._add_tags,
            "ListTags": self._list_tags,
            "DeleteTags": self._delete_tags,
        }

    def reset(self) -> None:
        """Forget everything."""
        with self._lock:
            self._regions.clear()

    def knows(self, operation: str) -> bool:
        """Whether the operation is one of these."""
        return operation in self._operations

    def call(self, operation: str, region: str, body: Document) -> Document:
        """Carry out an operation and return its answer.

        Raises:
            AwsError: it is refused.
        """
        with self._lock:
            if refusal := self._script.refused(operation):
                raise AwsError(refusal.code, refusal.message, refusal.status)
            return self._operations[operation](region, body)

    def endpoint(self, region: str, name: str) -> Endpoint:
        """The endpoint of that name.

        Raises:
            AwsError: there is none.
        """
        with self._lock:
            found = self._region(region).endpoints.get(name.lower())
            if found is None or found.status == "Deleted":
                raise invalid(f'Could not find endpoint "{arn_of(region, "endpoint", name)}".')
            return found

    def config(self, region: str, name: str) -> Document:
        """The request that made a configuration."""
        return self._held(region, "endpoint-config", name)

    def model(self, region: str, name: str) -> Document:
        """The request that made a model."""
        return self._held(region, "model", name)

    def _region(self, name: str) -> Region:
        return self._regions.setdefault(name, Region())

    def _held(self, region: str, kind: str, name: str) -> Document:
        known = self._region(region)
        found = (known.models if kind == "model" else known.configs).get(name)
        if found is None:
            raise invalid(f'Could not find {WORDS[kind]} "{arn_of(region, kind, name)}".')
        return found

    def _describe(self, region: str, kind: str, name: str) -> Document:
        arn = {"model": "ModelArn", "endpoint-config": "EndpointConfigArn"}[kind]
        return {**self._held(region, kind, name), arn: arn_of(region, kind, name)}

    def _keep(self, region: str, kind: str, name: str, body: Document) -> Document:
        known = self._region(region)
        kept = {key: value for key, value in body.items() if key != "Tags"}
        (known.models if kind == "model" else known.configs)[name] = {**kept, "CreationTime": time.time()}
        arn = arn_of(region, kind, name)
        known.tags[arn] = {tag["Key"]: tag["Value"] for tag in body.get("Tags", [])}
        return {"ModelArn" if kind == "model" else "EndpointConfigArn": arn}

    def _create_model(self, region: str, body: Document) -> Document:
        name, role = named(body["ModelName"]), body.get("ExecutionRoleArn", "")
        if name in self._region(region).models:
            raise invalid(f'Cannot create already existing model "{arn_of(region, "model", name)}".')
        if ("PrimaryContainer" in body) == ("Containers" in body):
            raise invalid("Provide either PrimaryContainer or Containers.")
        for container in body.get("Containers") or [body["PrimaryContainer"]]:
            check_container(container, role, region)
        return self._keep(region, "model", name, {"EnableNetworkIsolation": False, **body})

    def _delete_model(self, region: str, body: Document) -> Document:
        self._held(region, "model", body["ModelName"])
        self._forget(region, "model", body["ModelName"])
        return {}

    def _create_config(self, region: str, body: Document) -> Document:
        name = named(body["EndpointConfigName"])
        if name in self._region(region).configs:
            arn = arn_of(region, "endpoint-config", name)
            raise invalid(f'Cannot create already existing endpoint configuration "{arn}".')
        for variant in body["ProductionVariants"]:
            self._held(region, "model", variant["ModelName"])
            check_variant(variant)
        return self._keep(region, "endpoint-config", name, body)

    def _delete_config(self, region: str, body: Document) -> Document:
        name = body["EndpointConfigName"]
        self._held(region, "endpoint-config", name)
        for endpoint in self._region(region).endpoints.values():
            if endpoint.status != "Deleted" and name in {endpoint.config, endpoint.pending}:
                raise invalid(f'Cannot delete endpoint configuration "{name}" in use by endpoint "{endpoint.name}".')
        self._forget(region, "endpoint-config", name)
        return {}

    def _forget(self, region: str, kind: str, name: str) -> None:
        known = self._region(region)
        (known.models if kind == "model" else known.configs).pop(name)
        known.tags.pop(arn_of(region, kind, name), None)

    def _create_endpoint(self, region: str, body: Document) -> Document:
        name, known = named(body["EndpointName"]), self._region(region)
        arn, held = arn_of(region, "endpoint", name), known.endpoints.get(name.lower())
        if held and held.status != "Deleted":
            raise invalid(f'Cannot create already existing endpoint "{arn}".')
        config = self._held(region, "endpoint-config", body["EndpointConfigName"])
        made = Endpoint(name, arn, body["EndpointConfigName"], next_counts=counts(config))
        made.next_deployment = body.get("DeploymentConfig")
        self._begin(region, made, "Creating")
        known.endpoints[name.lower()] = made
        known.tags[arn] = {tag["Key"]: tag["Value"] for tag in body.get("Tags", [])}
        return {"EndpointArn": arn}

    def _begin(self, region: str, endpoint: Endpoint, status: str) -> None:
        outcome = self._script.next_outcome(endpoint.name)
        endpoint.begin(status, outcome)
        if outcome.log:
            moto_state.log(region, endpoint.name, outcome.log)

    def _update_endpoint(self, region: str, body: Document) -> Document:
        endpoint = self._settled(region, body["EndpointName"])
        if endpoint.status == "Failed":
            raise invalid(f'Cannot update endpoint "{endpoint.arn}" in status Failed.')
        config = self._held(region, "endpoint-config", body["EndpointConfigName"])
        held = self._region(region).configs.get(endpoint.config, {"ProductionVariants": []})
        if moto_state.scaled_variants(region, endpoint.name) and types(config) != types(held):
            raise invalid("Deregister the scalable target before you change the instance type of its variant.")
        endpoint.pending, endpoint.next_deployment = body["EndpointConfigName"], body.get("DeploymentConfig")
        endpoint.next_counts = counts(config)
        if body.get("RetainAllVariantProperties"):
            endpoint.next_counts |= {name: n for name, n in endpoint.counts.items() if name in endpoint.next_counts}
        self._begin(region, endpoint, "Updating")
        return {"EndpointArn": endpoint.arn}

    def _settled(self, region: str, name: str) -> Endpoint:
        endpoint = self.endpoint(region, name)
        if endpoint.status in TRANSITIONS:
            raise invalid(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        return endpoint

    def _delete_endpoint(self, region: str, body: Document) -> Document:
        endpoint = self._settled(region, body["EndpointName"])
        moto_state.deregister(region, endpoint.name)
        self._begin(region, endpoint, "Deleting")
        return {}

    def _describe_endpoint(self, region: str, body: Document) -> Document:
        endpoint = self.endpoint(region, body["EndpointName"])
        endpoint.look(self._script.pace)
        endpoint = self.endpoint(region, body["EndpointName"])
        known = self._region(region)
        return description(endpoint, region, known.configs, known.models)

    def _set_capacities(self, region: str, body: Document) -> Document:
        endpoint = self._settled(region, body["EndpointName"])
        for wanted in body["DesiredWeightsAndCapacities"]:
            if wanted["VariantName"] not in endpoint.counts:
                raise invalid(f"The variant {wanted['VariantName']} does not exist on endpoint {endpoint.arn}.")
            if "DesiredInstanceCount" in wanted:
                endpoint.counts[wanted["VariantName"]] = wanted["DesiredInstanceCount"]
        return {"EndpointArn": endpoint.arn}

    def _list(self, region: str, kind: str, body: Document) -> Document:
        known = self._region(region)
        if kind == "Endpoint":
            items = [summary(endpoint) for endpoint in known.endpoints.values() if endpoint.status != "Deleted"]
        else:
            held = known.models if kind == "Model" else known.configs
            path = "model" if kind == "Model" else "endpoint-config"
            items = [
                {f"{kind}Name": name, f"{kind}Arn": arn_of(region, path, name), "CreationTime": made["CreationTime"]}
                for name, made in held.items()
            ]
        items = [item for item in items if body.get("NameContains", "") in item[f"{kind}Name"]]
        items.sort(key=lambda item: item["CreationTime"], reverse=body.get("SortOrder") != "Ascending")
        first, size = int(body.get("NextToken") or 0), int(body.get("MaxResults") or 10)
        more = {"NextToken": str(first + size)} if first + size < len(items) else {}
        return {f"{kind}s": items[first : first + size], **more}

    def _tags(self, region: str, arn: str) -> dict[str, str]:
        tags = self._region(region).tags
        if arn not in tags:
            raise invalid(f"Could not find resource {arn}.")
        return tags[arn]

    def _add_tags(self, region: str, body: Document) -> Document:
        tags = self._tags(region, body["ResourceArn"])
        tags |= {tag["Key"]: tag["Value"] for tag in body["Tags"]}
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _list_tags(self, region: str, body: Document) -> Document:
        tags = self._tags(region, body["ResourceArn"])
        return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}

    def _delete_tags(self, region: str, body: Document) -> Document:
        tags = self._tags(region, body["ResourceArn"])
        for key in body["TagKeys"]:
            tags.pop(key, None)
        return {}
