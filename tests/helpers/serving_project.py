"""A user's project whose endpoints run under the image's real serving stack."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import boto3

from sagepack.aws.s3 import S3Uri
from sagepack.serving import model_server, stack
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

JSON = "application/json"


class Project:
    """A user's project with a sandbox of its own and a deployed endpoint."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("config", "inference_code", "schemas", "tasks.py"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        python = str(model_server.python())
        self.environment = {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", stack.PYTHON: python}

    def invoke(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "invoke", *words]
        return subprocess.run(
            command, cwd=self.root, env=self.environment, capture_output=True, text=True, timeout=300, check=False
        )

    def predict(self, request: dict[str, Any], *words: str) -> subprocess.CompletedProcess[str]:
        (self.root / "request.json").write_text(json.dumps(request), encoding="utf-8")
        return self.invoke("predict", "--input", "request.json", "--output", "answer.json", "--timeout", "240", *words)

    def answer(self) -> Any:
        return json.loads((self.root / "answer.json").read_text(encoding="utf-8"))

    def ask(self, endpoint: str, request: dict[str, Any], accept: str = JSON) -> Any:
        """The JSON that the endpoint answers, or that of its failure, to a request that nobody checked before."""
        lines = self.invoke("sandbox.env").stdout.splitlines()
        settings = dict(word.split("=", 1) for line in lines for word in shlex.split(line)[1:] if "=" in word)
        names = {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        keys = {argument: settings[name] for argument, name in names.items()}
        client = partial(
            boto3.client, region_name=settings["AWS_REGION"], endpoint_url=settings["AWS_ENDPOINT_URL"], **keys
        )
        body = json.dumps(request).encode()
        sent = client("sagemaker-runtime").invoke_endpoint_async(
            EndpointName=endpoint, Body=body, ContentType=JSON, Accept=accept
        )
        s3, until = client("s3"), time.monotonic() + 240
        while time.monotonic() < until:
            for place in ("OutputLocation", "FailureLocation"):
                uri = S3Uri.parse(sent[place])
                with suppress(s3.exceptions.NoSuchKey):
                    return json.loads(s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
            time.sleep(0.1)
        raise TimeoutError(endpoint)
