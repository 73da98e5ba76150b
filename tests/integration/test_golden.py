"""Golden files of a small project: the lock, plans before and after publishing, and all documents in the bucket."""

from __future__ import annotations

import io
import os
import re
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
from invoke.program import Program

from sagepack import __version__
from sagepack.api.results import FOUND_WORK
from sagepack.aws.s3 import S3Uri
from sagepack.cli.tasks import collection
from sagepack.publish.archive_plan import ArchivePlan
from tests.helpers import publishing
from tests.helpers.golden import Golden, document, normalized
from tests.helpers.publishing import Bucket, MiB, Tree, svd_like

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3
    from sagepack.publish.upload_plan import UploadPlan
    from sagepack.sandbox.servers import Servers

SPEC = """\
name: toy
model:
  id: stabilityai/stable-video-diffusion-img2vid-xt-1-1
  revision: 043843887ccd51926e3efed36270444a838e7861
code:
  path: code_of_toy
image:
  repository: huggingface-pytorch-inference
  tag: 2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04
endpoint:
  name: toy
  instance_type: ml.g5.2xlarge
  scaling:
    min_capacity: 0
    max_capacity: 2
"""
OVERLAY = """\
sandbox: true
aws:
  account: "123456789012"
  region: us-east-1
  role: arn:aws:iam::123456789012:role/sagepack-sandbox
artifact:
  target: s3://sagepack-sandbox/models
"""


class Toy:
    """A project on disk, with its commands in this process and the sandbox of the tests for all services."""

    def __init__(self, root: Path, servers: Servers) -> None:
        self.root, self._servers = root, servers
        (root / "config" / "env").mkdir(parents=True)
        (root / "config" / "toy.yaml").write_text(SPEC)
        (root / "config" / "env" / "local.yaml").write_text(OVERLAY)
        (root / "code_of_toy").mkdir()
        self.write_code("def model_fn(model_dir): ...\n")

    def write_code(self, text: str) -> None:
        """Write the inference code."""
        (self.root / "code_of_toy" / "inference.py").write_text(text)

    def invoke(self, *words: str) -> str:
        """Run a task; returns its JSON document, normalized."""
        out = io.StringIO()
        arguments = ["invoke", *words, "--config", "config/toy.yaml", "--json"]
        with (
            mock.patch("sagepack.api.connect.running", return_value=self._servers),
            mock.patch.dict(os.environ),
            redirect_stdout(out),
            redirect_stderr(io.StringIO()) as errors,
        ):
            try:
                Program(namespace=collection(self.root), binary="invoke").run(arguments, exit=False)
            except SystemExit as ended:
                if ended.code != FOUND_WORK:
                    pytest.fail(errors.getvalue())
        return normalized(out.getvalue(), self.root)


@pytest.fixture
def outputs(sandbox: Servers, tmp_path: Path) -> dict[str, str]:
    """Text by name of the golden file, from one project that is packaged, published, edited and published again."""
    toy = Toy(tmp_path / "toy", sandbox)
    store = publishing.connect(sandbox.aws_url, sandbox)
    found = {"plan/before-the-lock.json": toy.invoke("plan", "--to", "deploy")}
    found["lock.json"] = toy.invoke("lock")
    found["lock.yaml"] = (toy.root / "config" / "locks" / "toy-local.lock.yaml").read_text()
    found["plan/first-deploy.json"] = toy.invoke("plan", "--to", "deploy")
    found["package.json"] = toy.invoke("package")
    found["plan/nothing-to-do.json"] = toy.invoke("plan")
    found["upload.json"] = toy.invoke("upload")
    archive = published(store)
    toy.write_code("def model_fn(model_dir): return None\n")
    found["plan/code-edit.json"] = toy.invoke("plan", "--to", "upload")
    toy.invoke("upload", "--set", "artifact.layout=prefix")
    prefix = {key: text for key, text in published(store).items() if key not in archive}
    for folder, objects in (("archive", archive), ("prefix", prefix)):
        found[f"published/{folder}/keys.txt"] = "".join(f"{key}\n" for key in objects)
        found |= {f"published/{folder}/{kind_of(key)}.json": text for key, text in objects.items() if text}
    return found


def published(store: S3) -> dict[str, str]:
    """The objects under the target by key, normalized: the text of a document, and nothing for a file of the model."""
    found = {}
    for listed in store.list(S3Uri.parse("s3://sagepack-sandbox/models")):
        key, text = listed.location.key, ""
        if key.endswith(".json") and "/model/" not in key:
            text = (store.read(listed.location) or b"").decode().replace("},{", "},\n{")
            text = text.replace(f'"sagepack": "{__version__}"', '"sagepack": "<version>"')
            text = text.replace(f'"version": "{__version__}"', '"version": "<version>"')
            text = re.sub(r'"urn:uuid:[0-9a-f-]{36}"', '"urn:uuid:<of the rest>"', text)
        if "/releases/" in key:  # it has digests of what contains the time or the version
            text = re.sub(r'("(?:sha256|provenance\.json|sbom\.cdx\.json)"): "[0-9a-f]{64}"', r'\1: "<sha256>"', text)
        found[normalized(key)] = normalized(text)
    return dict(sorted(found.items()))


def kind_of(key: str) -> str:
    """What a document in the bucket is."""
    *_, folder, name = key.split("/")
    return {"releases": "release", "contents": "pointer"}.get(folder, name.removesuffix(".json"))


def test_plans_results_the_lock_and_published_documents_are_as_in_their_golden_files(
    outputs: dict[str, str], golden: Golden
) -> None:
    golden.check(outputs)


def test_an_upload_plan_is_as_in_its_golden_file(sandbox: Servers, tmp_path: Path, golden: Golden) -> None:
    bucket = Bucket(
        publishing.connect(sandbox.aws_url, sandbox), S3Uri(sandbox.bucket, "models"), tmp_path / "journals"
    )
    first = Tree(tmp_path / "one", svd_like())
    plans = {"first": bucket.plan(first)}
    bucket.publish(first)
    plans["nothing to do"] = bucket.plan(first)
    plans["code edit"] = bucket.plan(Tree(tmp_path / "two", {**svd_like(), "code/inference.py": b"print('two')\n"}))
    plans["new weights"] = bucket.plan(Tree(tmp_path / "three", svd_like(unet=5 * MiB + 3)))
    plans["as files"] = bucket.plan(first, layout="prefix")
    golden.check({"upload-plan.json": document({name: plan_document(plan) for name, plan in plans.items()})})


def plan_document(plan: UploadPlan) -> dict[str, Any]:
    """A plan of an upload: totals, parts in order, and what moves of each content."""
    parts = (
        [{"part": type(part).__name__, **asdict(part)} for part in plan.parts]
        if isinstance(plan, ArchivePlan)
        else None
    )
    return {
        "uri": plan.uri,
        "done": plan.done,
        "sent_bytes": plan.sent_bytes,
        "copied_bytes": plan.copied_bytes,
        "read_bytes": plan.read_bytes,
        "parts": parts,
        "contents": [
            {
                "path": content.member.path,
                "copied": content.copied,
                "sent": content.sent,
                "borrowed": content.borrowed,
                "source": content.origin and str(content.origin.seen.location),
                "binding": content.origin and content.origin.binding.value,
            }
            for content in plan.contents
        ],
    }


def test_a_changed_output_fails_with_the_difference(tmp_path: Path) -> None:
    Golden(update=True, folder=tmp_path).check({"plan/a.json": '{"step": "tar"}\n'})
    golden = Golden(update=False, folder=tmp_path)
    golden.check({"plan/a.json": '{"step": "tar"}\n'})
    with pytest.raises(AssertionError, match=r'(?s)-{"step": "tar"}.*\+{"step": "zip"}.*b\.json.*--update-goldens'):
        golden.check({"plan/a.json": '{"step": "zip"}\n', "plan/b.json": "new\n"})
    assert (tmp_path / "plan" / "a.json").read_text() == '{"step": "tar"}\n'
    assert not (tmp_path / "plan" / "b.json").exists()


def test_what_differs_from_run_to_run_is_normalized_and_equal_etags_stay_equal() -> None:
    one, other = '"' + "a" * 32 + '"', '"' + "b" * 32 + '-7"'
    text = f"http://127.0.0.1:4321 2026-01-02T03:04:05Z 20260102T030405.678901Z /home/me/dist {one} {other} {one}"
    assert normalized(text, Path("/home/me")) == (
        'http://127.0.0.1:<port> <time> <time> <project>/dist "etag 1" "etag 2" "etag 1"'
    )
