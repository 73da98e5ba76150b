"""A project with a sandbox of its own, for benchmarks of whole commands, and the AWS CLI beside it."""

from __future__ import annotations

import json
import os
import shutil
import sys
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.timing import run
from sagepack.sandbox import process
from sagepack.sandbox.identity import CONTROL_HEADER
from tests.helpers.environments import AWSCLI, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

REPOSITORY = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Project:
    """A copy of this repository's specs and code, with their environments."""

    folder: Path

    @classmethod
    def make(cls, folder: Path) -> Project:
        """Copy it into the new folder `folder`."""
        for name in ("config", "inference_code"):
            shutil.copytree(REPOSITORY / name, folder / name)
        shutil.copyfile(REPOSITORY / "tasks.py", folder / "tasks.py")
        return cls(folder)

    def command(self, *words: str) -> list[str]:
        """The command that runs a task in it."""
        python = ["env", "-C", str(self.folder), f"PYTHONPATH={REPOSITORY}", sys.executable]
        return [*python, "-m", "sagepack", *words]

    @contextmanager
    def sandbox(self) -> Iterator[Sandbox]:
        """Its sandbox, which runs in the block."""
        box = process.ensure(self.folder)
        try:
            yield Sandbox(box)
        finally:
            run(self.command("sandbox.stop"))


@dataclass(frozen=True)
class Sandbox:
    """A running sandbox."""

    box: process.Sandbox

    def ask(self, method: str, route: str, document: Any = None) -> Any:
        """Ask a control route of its AWS."""
        request = urllib.request.Request(f"{self.box.aws_url}/_sandbox/{route}", method=method)
        request.add_header(CONTROL_HEADER, self.box.control_token)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, None if document is None else json.dumps(document).encode()) as answer:
            return json.load(answer)

    def command(self, *words: str) -> list[str]:
        """A command in the environment with which the AWS CLI reaches it."""
        settings = {
            "AWS_ENDPOINT_URL": self.box.aws_url,
            "AWS_ACCESS_KEY_ID": self.box.access_key,
            "AWS_SECRET_ACCESS_KEY": self.box.secret_key,
            "AWS_DEFAULT_REGION": self.box.region,
            "AWS_CONFIG_FILE": os.devnull,
        }
        return ["env", *(f"{name}={value}" for name, value in settings.items()), *words]


def aws_cli() -> str:
    """The AWS CLI, in an environment of its own."""
    return str(environment("awscli", AWSCLI) / "aws")
