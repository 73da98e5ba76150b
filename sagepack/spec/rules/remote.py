"""Rules about `remote`, the job that publishes from the region: its role, its image, and the secret with the Hub's token."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import SpecView

OLDEST_PYTHON = (3, 10)
"""As in `requires-python` of this program."""
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}):role/.+")
_SECRET = re.compile(r"arn:aws[a-z-]*:secretsmanager:([a-z0-9-]+):(\d{12}):secret:.+")
_IMAGE = re.compile(r"\d{12}\.dkr\.ecr\.([a-z0-9-]+)\..+")


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `remote` against `aws` and `image`."""
    yield from _role(view)
    yield from _secret(view)
    yield from _image(view)


def _role(view: SpecView) -> Iterator[Diagnostic]:
    role, account = view.text("remote", "role"), view.text("aws", "account")
    found = _ROLE.fullmatch(role or "")
    if found and account and found[1] != account:
        message = f"the role is of account {found[1]}, and the job runs in aws.account {account}"
        yield Diagnostic(("remote", "role"), message, "SageMaker takes roles of its own account alone")


def _secret(view: SpecView) -> Iterator[Diagnostic]:
    found = _SECRET.fullmatch(view.text("remote", "token_secret") or "")
    region, account = view.text("aws", "region"), view.text("aws", "account")
    if found and region and found[1] != region:
        message = f"the secret is in {found[1]}, and the job runs in aws.region {region}"
        yield Diagnostic(("remote", "token_secret"), message, f"replicate it to {region}, and name that replica")
    if found and account and found[2] != account:
        message = f"the secret is of account {found[2]}, and the job runs in aws.account {account}"
        yield Diagnostic(("remote", "token_secret"), message, "put the token into a secret of that account")


def _image(view: SpecView) -> Iterator[Diagnostic]:
    region, own = view.text("aws", "region"), view.text("remote", "image")
    found = _IMAGE.fullmatch(own or "")
    if found and region and found[1] != region:
        message = f"the image is in {found[1]}, and the job runs in aws.region {region}"
        yield Diagnostic(("remote", "image"), message, "SageMaker pulls images of its own region alone")
    python = images.python_version(view.text("image", "tag") or "")
    if view.get("remote") is not None and own is None and python and python < OLDEST_PYTHON:
        have, need = (".".join(map(str, version)) for version in (python, OLDEST_PYTHON))
        message = f"the job would run in the endpoint's image, whose Python {have} is older than {need}"
        yield Diagnostic(("remote",), message, f"set remote.image to an image with Python {need} or newer")
