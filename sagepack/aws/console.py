"""Addresses of pages in the AWS console."""

from __future__ import annotations

from urllib.parse import quote

# Partition -> domain of its console (AWS documentation of the partitions).
_DOMAINS = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
}


def endpoint_page(partition: str, region: str, name: str) -> str | None:
    """The page of an endpoint; None for a partition whose console is not public."""
    return _page(partition, region, f"sagemaker/home?region={region}#/endpoints/{name}")


def log_page(partition: str, region: str, group: str) -> str | None:
    """The page of a log group of CloudWatch; None for a partition whose console is not public."""
    # The console decodes the fragment twice and has `$` for `%` in it.
    encoded = quote(quote(group, safe=""), safe="").replace("%", "$")
    return _page(partition, region, f"cloudwatch/home?region={region}#logsV2:log-groups/log-group/{encoded}")


def _page(partition: str, region: str, path: str) -> str | None:
    domain = _DOMAINS.get(partition)
    return f"https://{region}.{domain}/{path}" if domain else None
