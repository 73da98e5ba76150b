"""The project's own modules that are imported when they are first used: a run with nothing to do waits for none of them.

Who uses one imports it twice: in the usual way for the type checker and the import contract, and from here at run time.

    if TYPE_CHECKING:
        from sagepack.spec import validate
    else:
        validate = lazy.module("spec.validate")

So each late import is an ordinary arrow of the graph that the contract checks, and a test holds the table against it.
Modules of others (boto3, filelock) are imported in the function that needs them.
"""

from __future__ import annotations

import importlib
from typing import Any

# Importer -> what it loads late; names without the `sagepack.` in front.
LAZY: dict[str, tuple[str, ...]] = {
    "__main__": ("cli.job", "cli.program"),
    "api.cleaning": ("sandbox",),
    "api.connect": ("aws.session", "engine.clients", "sandbox", "serving.model_server"),
    "api.at_endpoint": (
        "api.comparing",
        "api.direct",
        "api.invocations",
        "api.leaving",
        "api.live",
        "api.rolling_back",
        "deploy.fleet",
        "engine.preflight",
        "engine.signed",
    ),
    "api.on_this_machine": (
        "api.served_package",
        "api.serving",
        "api.trial",
        "api.watching",
        "serving.image",
        "serving.model_server",
    ),
    "api.opened": ("deploy.waiter",),
    "api.project": (
        "api.cleaning",
        "api.collecting",
        "api.exporting",
        "api.graph.mermaid",
        "api.graph.svg",
        "api.judging",
        "api.promoting",
        "api.reporting",
        "api.review",
        "aws.s3",
        "deploy.preflight.asking",
        "deploy.preflight.check",
        "engine.policies",
        "engine.preflight",
        "engine.verify",
        "package.attest.provenance",
        "package.attest.sbom",
        "publish.cleanup",
        "publish.remote_read",
        "scaffold.project",
        "serving.model_server",
    ),
    "api.reporting": ("api.report.page",),
    "api.session": ("spec.pin", "spec.validate"),
    "api.starting": ("sandbox", "sandbox.miniatures.models"),
    "cli.build": ("api.review",),
    "cli.command_line": ("cli.refusals",),
    "cli.entrance": ("cli.completion", "cli.help_pages"),
    "cli.fleet": ("api.fleet.running", "cli.fleet_events", "cli.fleet_watch"),
    "cli.main": ("cli.recorder",),
    "cli.maintenance": ("api.cleaning",),
    "cli.sandbox": ("sandbox", "sandbox.adding"),
    "cli.serving": ("serving.stack",),
    "cli.starting": ("api.starting", "scaffold.project"),
    "engine.context": (
        "deploy.deployment",
        "deploy.observe",
        "engine.cluster",
        "engine.local_model",
        "engine.publication",
        "engine.trust",
        "engine.unit_pool",
        "spec.program.check",
        "spec.secrets.texts",
    ),
    "engine.executor": ("deploy.waiter", "engine.preflight", "engine.scanning"),
    "engine.preflight": (
        "engine.cluster",
        "engine.remote.policy",
        "engine.scanning",
        "engine.signed",
        "engine.worker_check",
        "package.attest.keyless_signer",
    ),
    "engine.publication": (
        "engine.unit",
        "engine.worker_check",
        "package.attest.provenance",
        "package.attest.sbom",
        "publish.gate",
        "publish.publisher",
        "publish.remote_check",
        "publish.remote_read",
        "publish.signatures",
        "publish.signing",
    ),
    "engine.steps.deploy": (
        "aws.console",
        "aws.logs",
        "deploy.drift",
        "deploy.reconcile",
        "engine.release",
    ),
    "engine.steps.download": ("engine.local_model", "engine.scanning", "hub.download"),
    "engine.steps.lock": ("engine.publisher_signature", "engine.resolver", "engine.scanning"),
    "engine.trust": (
        "aws.kms",
        "package.attest.certificates",
        "package.attest.dsse",
        "package.attest.keyless",
        "package.attest.keyless_signer",
        "package.attest.keys",
        "spec.pem",
        "spec.x509",
    ),
    "engine.wheels": ("package.requirements.index", "package.requirements.resolve", "package.requirements.wheels"),
    "engine.steps.tar": ("package.archive.source", "package.archive.writer"),
    "engine.steps.upload": ("engine.origin", "engine.remote.publishing"),
}
_NAMES = frozenset(name for names in LAZY.values() for name in names)


class _Module:
    """Stands for a module until one of its attributes is used."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(f"sagepack.{self._name}"), attribute)


def module(name: str) -> Any:
    """The module `sagepack.<name>`, imported when one of its attributes is used.

    Raises:
        KeyError: it is not in `LAZY`.
    """
    if name not in _NAMES:
        raise KeyError(name)
    return _Module(name)
