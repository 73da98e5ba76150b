"""The sandbox's Hub and AWS together, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.sandbox.activity import Activity
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.server import AwsServer
from sagepack.sandbox.hub.api import NO_ACCESS_TOKEN
from sagepack.sandbox.hub.server import HubServer
from sagepack.sandbox.identity import ACCOUNT, REGION, Credentials
from sagepack.sandbox.miniatures import models as miniatures

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.faults import Faults


class Servers:
    """Both servers. They listen from `start` to `stop`; `reset` puts them back to their initial state.

    Attributes:
        activity: requests in progress on either server.
        credentials: the secrets that both servers accept; `hf_token`, `access_key` and `secret_key` repeat them.
        hub: the Hub, with its repositories, faults and log of requests.
        aws: AWS, with its scenario, invocations, faults and log of requests.
        models: the folder in which the miniature models are made.

    Args:
        models: see above.
        own_models: the file that remembers the user's own models; None remembers none.
        requirements: the folder for what the packages of endpoints require; None for a temporary one.
    """

    no_access_token = NO_ACCESS_TOKEN
    account, region, bucket, role = ACCOUNT, REGION, moto_state.BUCKET, moto_state.ROLE

    def __init__(self, models: Path, own_models: Path | None = None, requirements: Path | None = None) -> None:
        self.activity = Activity()
        self.models = models
        self.credentials = Credentials.random()
        self.hf_token = self.credentials.hf_token
        self.access_key, self.secret_key = self.credentials.access_key, self.credentials.secret_key
        self.hub = HubServer(self.activity, self.credentials, own_models)
        self.aws = AwsServer(self.activity, self.credentials, requirements)

    @property
    def hub_url(self) -> str:
        """Address of the Hub, for `HF_ENDPOINT`."""
        return self.hub.url

    @property
    def aws_url(self) -> str:
        """Address of AWS, for `AWS_ENDPOINT_URL`."""
        return self.aws.url

    @property
    def faults(self) -> Faults:
        """The faults of the Hub, with its log of requests."""
        return self.hub.faults

    def start(self) -> None:
        """Create the initial state of both servers and listen."""
        self._seed_hub()
        self.hub.start()
        self.aws.jobs.environment["HF_ENDPOINT"] = self.hub_url
        self.aws.start()

    def stop(self) -> None:
        """Stop listening."""
        self.hub.stop()
        self.aws.stop()

    def reset(self) -> None:
        """Remove all faults and put both servers back to their initial state; the files of the models stay."""
        self.hub.faults.clear()
        self._seed_hub()
        self.aws.reset()

    def _seed_hub(self) -> None:
        """Serve the miniature models and those of the user, and nothing else."""
        for name in self.hub.repositories.names():
            self.hub.repositories.remove(name)
        for model in miniatures.MODELS:
            folder = miniatures.ensure(model, self.models)
            self.hub.repositories.add(model.name, folder, commit=model.commit, gated=model.gated)
        self.hub.own_models.restore()
