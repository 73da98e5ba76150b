"""The token in the text of a secret, and what a job says to who can mend it."""

from __future__ import annotations

import pytest

from sagepack.api import remote_job
from sagepack.engine.remote.source import JobDocument
from sagepack.errors import UserError

ARN = "arn:aws:secretsmanager:us-east-1:123456789012:secret:hub-token"
TOKEN = "hf_" + "a1" * 17


@pytest.mark.parametrize("text", [TOKEN, f'{{"HF_TOKEN": "{TOKEN}"}}', f'{{"other": "x", "HF_TOKEN": "{TOKEN}"}}'])
def test_a_secret_is_the_token_or_a_map_with_it(text: str) -> None:
    assert remote_job._token(text, ARN) == TOKEN


@pytest.mark.parametrize("text", ["{", "{}", f'{{"token": "{TOKEN}"}}'])
def test_a_secret_without_a_token_is_told_without_a_word_of_it(text: str) -> None:
    with pytest.raises(UserError, match="without a value of HF_TOKEN") as caught:
        remote_job._token(text, ARN)
    assert TOKEN not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("secret", "said"), [(ARN, f"into the secret {ARN}"), (None, "set remote.token_secret to the ARN")]
)
def test_a_job_without_access_names_the_secret_and_not_a_shell(secret: str | None, said: str) -> None:
    job = JobDocument("config/svd.yaml", "prod", "us-east-1", secret)
    fix = remote_job._for_a_job("accept its conditions, then `export HF_TOKEN=...` or `hf auth login`", job)
    assert said in fix
    assert "export" not in fix


def test_a_permission_is_one_of_the_role() -> None:
    job = JobDocument("config/svd.yaml", "prod", "us-east-1")
    fix = remote_job._for_a_job(
        "allow the caller s3:PutObject; `invoke policy --for publish` prints the policy for it", job
    )
    assert fix == "allow the job's role s3:PutObject; `invoke policy --for remote-execution` prints the policy for it"
