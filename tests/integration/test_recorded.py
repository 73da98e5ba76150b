"""Releases that were made before and are put back, whatever the spec says today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sagepack.aws.autoscaling import ScalableTarget
from sagepack.deploy import recorded
from sagepack.deploy.drift import differences
from sagepack.deploy.observe import observe
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.record import DeploymentRecord
from sagepack.deploy.waiter import WaiterConfig
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.spec.model import Scaling
from tests.helpers.deployments import MOMENT, deployment, published, session_of

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)
OTHER = Digest.sha256(b"another manifest")


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


def record_of(value: Deployment, **changes: Any) -> DeploymentRecord:
    written = DeploymentRecord(
        name=value.owner.name,
        env=value.owner.env,
        endpoint=value.endpoint_name,
        deployed=MOMENT,
        by="arn:aws:iam::123456789012:user/ann",
        commit="0" * 40,
        clean=True,
        manifest=str(value.manifest_digest),
        package=value.model_data_uri,
        lock=str(value.manifest_digest),
        image=value.image_uri,
        model=value.model_name,
        config=value.endpoint_config_name,
        variables=tuple(value.environment),
        settings=msgspec.to_builtins(value.endpoint),
    )
    return msgspec.structs.replace(written, **changes)


def deployed(aws: Aws, value: Deployment) -> Deployment:
    reconcile(aws, published(aws, value), Silent(), WAITER)
    return value


@pytest.mark.slow
def test_a_release_is_put_back_with_its_instance_type_scaling_and_tags(aws: Aws) -> None:
    old = deployed(aws, deployment(scaling=Scaling(0, 2)))
    new = deployment(
        manifest=OTHER, scaling=Scaling(1, 4), instance_type="ml.g5.4xlarge", environment={}, tags={"team": "film"}
    )
    deployed(aws, new)
    before = recorded.of_record(aws, record_of(old))
    done = reconcile(aws, before, Silent(), WAITER)
    assert (done.endpoint_config_name, done.model_name) == (old.endpoint_config_name, old.model_name)
    live = observe(aws, old.owner)
    assert live is not None
    assert differences(before, live) == []
    assert differences(old, live) == []
    assert live.scaling.target == ScalableTarget(0, 2)
    assert (live.tags["team"], live.tags["sagepack:manifest"]) == ("video", str(old.manifest_digest))
    assert differences(new, live)[0].kind == "update"


def test_a_release_with_names_that_this_version_would_not_give_is_put_back(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("sagepack.deploy.deployment._DIGEST_LENGTH", 10)
        old = deployed(aws, deployment())
        note = record_of(old)
    deployed(aws, deployment(environment={}))
    assert old.endpoint_config_name == note.config != deployment().endpoint_config_name
    done = reconcile(aws, recorded.of_record(aws, note), Silent(), WAITER)
    assert done.endpoint_config_name == note.config


@pytest.mark.parametrize("gone", ["model", "endpoint_config"])
@pytest.mark.parametrize("commit", ["0" * 40, None])
def test_a_release_that_was_deleted_says_what_makes_it_again(aws: Aws, gone: str, commit: str | None) -> None:
    old = deployed(aws, deployment())
    client = aws.client("sagemaker")
    if gone == "model":
        client.delete_model(ModelName=old.model_name)
    else:
        client.delete_endpoint_config(EndpointConfigName=old.endpoint_config_name)
    with pytest.raises(UserError, match="was deleted") as caught:
        recorded.of_record(aws, record_of(old, commit=commit))
    assert "makes it again" in str(caught.value.fix)
    assert commit is None or commit in str(caught.value.fix)


def test_a_record_with_settings_of_another_program_is_a_user_error(aws: Aws) -> None:
    old = deployed(aws, deployment())
    with pytest.raises(UserError, match="none of this version of sagepack"):
        recorded.of_record(aws, record_of(old, settings={"instance_type": 5}))


def test_settings_that_a_later_version_added_do_not_stop_an_older_one(aws: Aws) -> None:
    old = deployed(aws, deployment())
    settings = {**record_of(old).settings, "a_key_of_next_year": {"x": 1}}
    assert recorded.of_record(aws, record_of(old, settings=settings)).endpoint == old.endpoint
