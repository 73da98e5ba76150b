"""A small valid project on disk, for tests that read and validate specs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic, SpecError
from sagepack.spec import loader, validate

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.spec.document import Document

COMMIT = "043843887ccd51926e3efed36270444a838e7861"
TAG = "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
SPEC = f"""\
name: toy
model:
  id: owner/toy
  revision: {COMMIT}
code:
  path: code_of/toy
image:
  repository: huggingface-pytorch-inference
  tag: {TAG}
environment:
  COLOUR: blue
endpoint:
  name: toy
  instance_type: ml.g5.2xlarge
"""
OVERLAY = """\
aws:
  account: "210987654321"
  region: us-east-1
  role: arn:aws:iam::210987654321:role/toy
artifact:
  target: s3://toys/models
"""


def project(root: Path, spec: str | bytes = SPEC, overlay: str | bytes = OVERLAY) -> Path:
    """Write a project; returns the path of its spec."""
    (root / "config" / "env").mkdir(parents=True, exist_ok=True)
    (root / "code_of" / "toy").mkdir(parents=True, exist_ok=True)
    (root / "code_of" / "toy" / "inference.py").write_text("def model_fn(model_dir): ...\n")
    for name, text in (("toy", spec), ("env/test", overlay)):
        data = text if isinstance(text, bytes) else text.encode()
        (root / "config" / f"{name}.yaml").write_bytes(data)
    return root / "config" / "toy.yaml"


def load(root: Path, sets: Sequence[str] = ()) -> Document:
    """The document of the project at `root`; writes the valid one if there is none."""
    config = root / "config" / "toy.yaml"
    return loader.load(config if config.exists() else project(root), "test", sets, root)


def errors(root: Path, sets: Sequence[str] = (), *, branch_allowed: bool = False) -> list[Diagnostic]:
    """The errors of reading or validating the project."""
    try:
        validate.check(load(root, sets), root, branch_allowed=branch_allowed)
    except SpecError as error:
        return list(error.diagnostics)
    return []


def warnings(root: Path, sets: Sequence[str] = ()) -> list[Diagnostic]:
    """The warnings of validating the project."""
    return list(validate.check(load(root, sets), root))
