"""The rules beyond the schema: what each refuses, what it warns about, and what it lets pass."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import botocore.session
import pytest

from sagepack.spec.rules import drivers, instances
from sagepack.spec.rules.artifact import uri_problem
from tests.helpers.specs import errors, load, project, warnings

if TYPE_CHECKING:
    from pathlib import Path

GRAVITON, NEURON, GPU_48 = "ml.m7g.large", "ml.inf2.xlarge", "ml.g5.48xlarge"
CPU_TAG = "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04"
GOV = ["aws.region=us-gov-west-1", "aws.role=arn:aws-us-gov:iam::210987654321:role/toy"]
CHINA = ["aws.region=cn-north-1", "aws.role=arn:aws-cn:iam::210987654321:role/toy"]
SANDBOX = ["sandbox=true", "aws={account: '123456789012', role: 'arn:aws:iam::123456789012:role/sagepack-sandbox'}"]
SCALED = "endpoint.scaling={min_capacity: 2, max_capacity: 4}"
TWO = "endpoint.initial_instance_count=2"
PUBLISHER = "remote.role=arn:aws:iam::210987654321:role/publisher"
SECRET = "remote.token_secret=arn:aws:secretsmanager:"
SLEEPS = "endpoint.scaling={min_capacity: 0, max_capacity: 4}"

FOLDER = ["model.id=null", "model.revision=null"]
CLUSTER, LOCAL_CLUSTER = "cluster.scheduler=tls://dask:8786", "cluster.scheduler=tcp://127.0.0.1:8786"


def pools(*kinds: str) -> list[str]:
    """Settings of an endpoint with instances of these types."""
    entries = ", ".join(f"{{instance_type: {kind}, priority: {number}}}" for number, kind in enumerate(kinds, 1))
    return ["endpoint.instance_type=null", f"endpoint.instance_pools=[{entries}]"]


def schedule(entries: str) -> str:
    """A setting of automatic scaling with these entries of a schedule."""
    return f"endpoint.scaling={{min_capacity: 0, max_capacity: 2, schedule: [{entries}]}}"


REFUSED = [
    # model
    (["model.id=gpt2"], "model.id", '"gpt2" has no owner'),
    (["model.id=./code_of"], "model.id", "is a folder"),
    (["model.id=https://huggingface.co/a/b/tree/main"], "model.id", "is the address of a page"),
    (["model.id=toy"], "model.id", "write owner/name"),
    (["model.id=null"], "model.id", "required key is missing"),
    (["model.revision=null"], "model.revision", "required key is missing"),
    (["model.revision=0438438"], "model.revision", "looks like a shortened commit"),
    (["model.path=code_of"], "model.path", "cannot be both a folder and a repository"),
    (["model.id=null", "model.path=code_of"], "model.revision", "a folder has no revision"),
    ([*FOLDER, "model.path=~/toy"], "model.path", "~ is not expanded"),
    ([*FOLDER, "model.path=config/toy.yaml"], "model.path", "is a file, not a folder"),
    ([*FOLDER, "model.path=config/.."], "model.path", "holds the project itself"),
    ([*FOLDER, "model.path=code_of/toy"], "model.path", "files would be packaged twice"),
    ([*FOLDER, "model.path=code_of"], "model.path", "files would be packaged twice"),
    (["hub.endpoint=hub.company"], "hub.endpoint", "write an address like https://hub.company"),
    (["hub.endpoint=https://hub.company?a=b"], "hub.endpoint", "write an address like https://hub.company"),
    # cluster
    (["cluster.scheduler=dask:8786"], "cluster.scheduler", "write tls://host:port, or tcp://host:port"),
    (["cluster.scheduler=tls://dask"], "cluster.scheduler", "write tls://host:port, or tcp://host:port"),
    (["cluster.scheduler=tls://user@dask:8786"], "cluster.scheduler", "write tls://host:port, or tcp://host:port"),
    (["cluster.scheduler=tls://dask:99999"], "cluster.scheduler", "99999 is no port"),
    (["cluster.scheduler=tcp://dask:8786"], "cluster.scheduler", "whoever reaches it runs code on its workers"),
    (["cluster.scheduler=tcp://10.0.0.7:8786", "cluster.insecure=false"], "cluster.scheduler", "is on another machine"),
    ([LOCAL_CLUSTER, "cluster.tls={ca: config/toy.yaml, cert: config/toy.yaml}"], "cluster.scheduler", "tcp:// is a connection without it"),
    ([CLUSTER, "cluster.tls={ca: ~/ca.pem, cert: config/toy.yaml}"], "cluster.tls.ca", "~ is not expanded"),
    ([CLUSTER, "cluster.tls={ca: config/toy.yaml}"], "cluster.tls.cert", "required key is missing"),
    (["cluster.connections=4"], "cluster.scheduler", "required key is missing"),
    ([CLUSTER, "cluster.connections=0"], "cluster.connections", "at least 1"),
    # environment
    (["environment.SAGEMAKER_BIND_TO_PORT=9000"], "environment.SAGEMAKER_BIND_TO_PORT", "port 8080"),
    (["environment.MMS_INFERENCE_ADDRESS=http://127.0.0.1:8080"], "environment.MMS_INFERENCE_ADDRESS", "port 8080"),
    (["environment.SAGEMAKER_BASE_DIR=/data"], "environment.SAGEMAKER_BASE_DIR", "/opt/ml/model"),
    (["environment.SAGEMAKER_MULTI_MODEL=True"], "environment.SAGEMAKER_MULTI_MODEL", "without the model"),
    (["environment.HF_MODEL_ID=owner/toy"], "environment.HF_MODEL_ID", "ignores the packaged weights"),
    (["environment.MMS_MAX_RESPONSE_SIZE=1GB"], "environment.MMS_MAX_RESPONSE_SIZE", '"1GB" is not an integer from 1 to 2,147,483,647'),
    (["environment.MMS_MAX_REQUEST_SIZE=3000000000"], "environment.MMS_MAX_REQUEST_SIZE", "is not an integer"),
    (["environment.SAGEMAKER_MODEL_SERVER_WORKERS=0"], "environment.SAGEMAKER_MODEL_SERVER_WORKERS", "is not an integer"),
    (["environment.SAGEMAKER_MODEL_SERVER_TIMEOUT=1h"], "environment.SAGEMAKER_MODEL_SERVER_TIMEOUT", "is not an integer"),
    (["environment.SAGEMAKER_PROGRAM=serve"], "environment.SAGEMAKER_PROGRAM", "is not the name of a file"),
    (["environment.SAGEMAKER_PROGRAM=other.py"], "code.path", "'toy' contains no other.py"),
    (["environment.A=" + "x" * 1025], "environment.A", "the value has 1,025 bytes"),
    (["environment.A=" + "\u00e9" * 513], "environment.A", "the value has 1,026 bytes"),
    (["environment={" + ", ".join(f"A{n}: {'x' * 1000}" for n in range(33)) + "}"], "environment", "the service allows 32,768"),
    (["environment={" + ", ".join(f"A{n}: x" for n in range(101)) + "}"], "environment", "102 entries it is above the maximum of 100"),
    # image and region
    (["aws.region=us-east-9"], "aws.region", "no registry of inference images is known in us-east-9"),
    (["image.account=446045086412"], "image.account", "is AWS's registry for other regions"),
    ([*GOV, "image.account=763104351884"], "image.account", "is AWS's registry for other regions"),
    (["image.tag=x@sha256:00"], "image.tag", "give only the tag"),
    (["image.repository=763104351884.dkr.ecr.us-east-1.amazonaws.com/mine"], "image.repository", "contains the host of a registry"),
    (["image.repository=763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:1"], "image.repository", "no host, no tag"),
    ([f"image.tag={CPU_TAG}"], "image.tag", "would leave the GPU of ml.g5.2xlarge unused"),
    ([f"endpoint.instance_type={GRAVITON}"], "endpoint.instance_type", "has an ARM processor"),
    ([f"endpoint.instance_type={NEURON}"], "endpoint.instance_type", "has no NVIDIA GPU"),
    # endpoint
    (["endpoint.inference_ami_version=al2-ami-sagemaker-inference-neuron-2"], "endpoint.inference_ami_version", "the driver for AWS's own accelerators"),
    (["image.repository=huggingface-vllm", "image.tag=0.29.0-gpu-py312-cu130-ubuntu22.04", "endpoint.instance_type=ml.g7e.2xlarge", "endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3-1"], "endpoint.inference_ami_version", "need driver 570 or newer; this machine image has 550"),
    (["endpoint.instance_type=ml.inf2.xlarge", "endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3-1"], "endpoint.inference_ami_version", "the driver for NVIDIA GPUs"),
    (["endpoint.volume_size_in_gb=50"], "endpoint.volume_size_in_gb", "SageMaker refuses a volume size"),
    (["endpoint.kms_key_id=arn:aws:kms:eu-west-1:123456789012:key/1"], "endpoint.kms_key_id", "the key is in eu-west-1"),
    (["endpoint.async.kms_key_id=arn:aws:kms:eu-west-1:123456789012:alias/a"], "endpoint.async.kms_key_id", "the key is in eu-west-1"),
    (["endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3"], "endpoint.inference_ami_version", "is not a value that the service knows"),
    (["endpoint.model_data_download_timeout_in_seconds=99999"], "endpoint.model_data_download_timeout_in_seconds", "at most 3,600"),
    (["endpoint.container_startup_health_check_timeout_in_seconds=59"], "endpoint.container_startup_health_check_timeout_in_seconds", "at least 60"),
    (["endpoint.async.max_concurrent_invocations_per_instance=1001"], "endpoint.async.max_concurrent_invocations_per_instance", "at most 1,000"),
    (["endpoint.scaling={min_capacity: 3, max_capacity: 2}"], "endpoint.scaling.min_capacity", "3 is more than max_capacity, 2"),
    (["endpoint.scaling={min_capacity: 0, max_capacity: 1}", "endpoint.initial_instance_count=2"], "endpoint.initial_instance_count", "2 is more than scaling.max_capacity, 1"),
    (["endpoint.instance_type=null"], "endpoint.instance_type", "required key is missing"),
    (pools("ml.g5.2xlarge", "ml.g6.2xlarge")[1:], "endpoint.instance_pools", "instance_type is set, too"),
    (pools("ml.g5.2xlarge"), "endpoint.instance_pools", "at least 2 entries"),
    (pools("ml.g5.2xlarge", "ml.g5.2xlarge"), "endpoint.instance_pools.1.instance_type", "is the type of entry 0, too"),
    (pools("ml.g5.2xlarge", "ml.g5.2xlrage"), "endpoint.instance_pools.1.instance_type", "is not a value that the service knows"),
    (pools("ml.g5.2xlarge", GRAVITON), "endpoint.instance_pools.1.instance_type", "has an ARM processor"),
    (["endpoint.instance_type=null", "endpoint.instance_pools=[{instance_type: ml.g5.2xlarge, priority: 6}, {instance_type: ml.g6.2xlarge}]"], "endpoint.instance_pools.0.priority", "at most 5"),
    (["endpoint.instance_type=null", "endpoint.instance_pools=[{instance_type: ml.g5.2xlarge, priority: 1}, {instance_type: ml.g6.2xlarge}]"], "endpoint.instance_pools.1.priority", "required key is missing"),
    ([*pools("ml.g4dn.2xlarge", "ml.g5.2xlarge"), "endpoint.volume_size_in_gb=50"], "endpoint.volume_size_in_gb", "SageMaker refuses a volume size"),
    ([*pools("ml.g5.2xlarge", "ml.t2.medium"), "endpoint.scaling={min_capacity: 0, max_capacity: 1}"], "endpoint.scaling", "such as ml.t2, cannot be scaled"),
    (["endpoint.variant_instance_provision_timeout_in_seconds=600"], "endpoint.variant_instance_provision_timeout_in_seconds", "it is for instance_pools"),
    ([*pools("ml.g5.2xlarge", "ml.g6.2xlarge"), "endpoint.variant_instance_provision_timeout_in_seconds=299"], "endpoint.variant_instance_provision_timeout_in_seconds", "at least 300"),
    ([schedule("{at: 'cron(0 8 * * *)', min_capacity: 1}")], "endpoint.scaling.schedule.0.at", "a cron expression has 6 fields"),
    ([schedule("{at: 8:00, min_capacity: 1}")], "endpoint.scaling.schedule.0.at", "it must be cron("),
    ([schedule("{at: rate(1 day), min_capacity: 1}, {at: rate(2 days), timezone: Europe/Berlin, min_capacity: 1}")], "endpoint.scaling.schedule.1.timezone", "a rate has no time zone"),
    ([schedule("{at: 'cron(0 8 * * ? *)', timezone: Europe/Berln, min_capacity: 1}")], "endpoint.scaling.schedule.0.timezone", "'Europe/Berln' is no time zone"),
    ([schedule("{at: rate(1 day)}")], "endpoint.scaling.schedule.0", "it changes no bound"),
    ([schedule("{at: rate(1 day), min_capacity: 3}")], "endpoint.scaling.schedule.0.min_capacity", "3 is more than scaling.max_capacity, 2"),
    ([schedule("{at: rate(1 day), min_capacity: 3, max_capacity: 2}")], "endpoint.scaling.schedule.0.min_capacity", "3 is more than its max_capacity, 2"),
    ([schedule("{at: rate(1 day), max_capacity: 1}").replace("min_capacity: 0", "min_capacity: 2"), "endpoint.initial_instance_count=2"], "endpoint.scaling.schedule.0.max_capacity", "1 is less than scaling.min_capacity, 2"),
    ([schedule("{at: rate(1 day), min_capacity: 1}, {at: rate(1 day), max_capacity: 4}")], "endpoint.scaling.schedule.1.at", "is the time of entry 0, too"),
    ([schedule("{min_capacity: 1}")], "endpoint.scaling.schedule.0.at", "required key is missing"),
    ([schedule("{at: rate(1 day), min_capcity: 1}")], "endpoint.scaling.schedule.0.min_capcity", "unknown key"),
    ([schedule("{at: rate(1 day), min_capacity: -1}")], "endpoint.scaling.schedule.0.min_capacity", "at least 0"),
    ([schedule("")], "endpoint.scaling.schedule", "at least 1 entries"),
    (["endpoint.name=-toy"], "endpoint.name", "letters, digits and hyphens"),
    (["endpoint.tags={'aws:x': y}"], "endpoint.tags.aws:x", "reserved for AWS"),
    (["endpoint.tags={'sagepack:x': y}"], "endpoint.tags.sagepack:x", "reserved for this program"),
    (["endpoint.tags={" + ", ".join(f"a{n}: b" for n in range(46)) + "}"], "endpoint.tags", "at most 45 entries"),
    (["endpoint.async.success_topic=arn:aws:sns:eu-west-1:210987654321:t"], "endpoint.async.success_topic", "the topic is in eu-west-1"),
    (["endpoint.instance_type=ml.t2.medium", "endpoint.scaling={min_capacity: 0, max_capacity: 1}"], "endpoint.scaling", "burstable instances, such as ml.t2, cannot be scaled"),
    (["endpoint.alarms.topics=[arn:aws:sns:us-east-1:210987654321:t, arn:aws:sns:eu-west-1:210987654321:t]"], "endpoint.alarms.topics.1", "the topic is in eu-west-1"),
    (["endpoint.alarms.topics=[arn:aws:sns:us-east-1:210987654321:t.fifo]"], "endpoint.alarms.topics.0", "it must be the ARN of a standard topic"),
    (["endpoint.alarms.period=90"], "endpoint.alarms.period", "a multiple of 60"),
    (["endpoint.alarms.age_of_oldest_request=21601"], "endpoint.alarms.age_of_oldest_request", "at most 21,600"),
    # the way of an update
    (["endpoint.update={blue_green: {}, rolling: {}}"], "endpoint.update.rolling", "either blue/green or rolling"),
    ([SCALED, "endpoint.update.blue_green.traffic=canary"], "endpoint.update.blue_green.canary_size", "traffic: canary needs its size"),
    ([SCALED, "endpoint.update.blue_green={traffic: linear, canary_size: 50%, linear_step_size: 50%}"], "endpoint.update.blue_green.canary_size", "it has no meaning with traffic: linear"),
    ([SCALED, "endpoint.update.blue_green={traffic: linear, linear_step_size: 9%}"], "endpoint.update.blue_green.linear_step_size", "9% is out of range: 10% to 50%"),
    ([SCALED, "endpoint.update.blue_green={traffic: canary, canary_size: 51%}"], "endpoint.update.blue_green.canary_size", "51% is out of range: 1% to 50%"),
    ([SCALED, "endpoint.update.blue_green={traffic: canary, canary_size: 3}"], "endpoint.update.blue_green.canary_size", "3 is more than half of the 4 instances"),
    ([SCALED, "endpoint.update.blue_green={traffic: canary, canary_size: 0}"], "endpoint.update.blue_green.canary_size", "0 is out of range: at least 1 instance"),
    ([SCALED, "endpoint.update.blue_green={traffic: canary, canary_size: half}"], "endpoint.update.blue_green.canary_size", "write a share such as 50%"),
    ([SCALED, "endpoint.update.rolling.maximum_batch_size=4%"], "endpoint.update.rolling.maximum_batch_size", "4% is out of range: 5% to 50%"),
    (["endpoint.update.blue_green={traffic: canary, canary_size: 50%}"], "endpoint.update.blue_green.traffic", "at most half of the instances at a time, and the endpoint has one"),
    (["endpoint.update.rolling={}"], "endpoint.update.rolling", "the endpoint has one"),
    (["endpoint.update.blue_green={maximum_execution_timeout_in_seconds: 1200, wait_interval_in_seconds: 600, termination_wait_in_seconds: 600}"], "endpoint.update.blue_green.maximum_execution_timeout_in_seconds", "1200 is not more than the update waits, 1200"),
    (["endpoint.alarms={}", "endpoint.update={rollback_alarms: [failures], blue_green: {maximum_execution_timeout_in_seconds: 600}}"], "endpoint.update.blue_green.maximum_execution_timeout_in_seconds", "not more than the update waits, 600"),
    (["endpoint.update.blue_green.termination_wait_in_seconds=3601"], "endpoint.update.blue_green.termination_wait_in_seconds", "at most 3,600"),
    (["endpoint.update.rollback_alarms=[failures]"], "endpoint.update.rollback_alarms.0", "endpoint.alarms declares no alarm failures"),
    (["endpoint.alarms.failures=0", "endpoint.update.rollback_alarms=[failures]"], "endpoint.update.rollback_alarms.0", "endpoint.alarms declares no alarm failures"),
    (["endpoint.async.error_topic=my-topic"], "endpoint.async.error_topic", "does not match the service's pattern"),
    (["endpoint.enable_network_isolation=true", "code.requirements=[imageio==2.37.0]"], "endpoint.enable_network_isolation", "cannot install requirements from a package index"),
    (["aws.role=arn:aws:iam::111111111111:role/toy"], "aws.role", "belongs to account 111111111111, but aws.account is 210987654321"),
    (["aws.role=toy-with-a-long-role-name"], "aws.role", "the ARN of a role is arn:aws:iam::ACCOUNT:role/NAME"),
    (["aws.role=toy"], "aws.role", "the ARN of a role is arn:aws:iam::ACCOUNT:role/NAME"),
    (["aws.region=cn-north-1"], "aws.role", "in cn-north-1 an ARN begins with arn:aws-cn:"),
    ([*SANDBOX, "aws.region=eu-west-1"], "aws.region", "the sandbox supports only us-east-1"),
    (["sandbox=true"], "aws.account", "the sandbox supports only 123456789012"),
    # artifact
    (["artifact.kms_key_id=alias/k"], "artifact.kms_key_id", "a KMS key requires sse aws:kms, but sse is the bucket's default"),
    (["artifact.kms_key_id=alias/k", "artifact.sse=AES256"], "artifact.kms_key_id", "sse is AES256"),
    (["artifact.storage_class=GLACIER"], "artifact.storage_class", '"GLACIER" is not one of: STANDARD'),
    (["artifact.target=s3://toys"], "artifact.target", "would be inside artifact.target"),
    (["endpoint.async.s3_output_path=s3://toys/models/out/"], "endpoint.async.s3_output_path", "would be inside artifact.target"),
    (["endpoint.async.s3_failure_path=s3://toys/models"], "endpoint.async.s3_failure_path", "would be inside artifact.target"),
    (["endpoint.async.s3_output_path=s3://toys/"], "endpoint.async.s3_output_path", "artifact.target would be inside s3://toys/"),
    (["endpoint.async.s3_output_path=https://toys/x"], "endpoint.async.s3_output_path", "it must be s3://bucket"),
    (["artifact.reuse_from=[s3://ok/x, s3://UPPER/x]"], "artifact.reuse_from.1", "a bucket name"),
    (["artifact.tags={" + ", ".join(f"a{n}: b" for n in range(11)) + "}"], "artifact.tags", "at most 10 entries"),
    # model
    (["model.include=['/abs/*']"], "model.include.0", "matches nothing"),
    (["model.exclude=[a, '../b']"], "model.exclude.1", "matches nothing"),
    (["model.include=[a, a]"], "model.include", "duplicate entry"),
    # code and sample
    (["code.path=code_of/tyo"], "code.path", "does not exist"),
    (["code.path=.."], "code.path", "is outside of the project"),
    (["code.path=/etc"], "code.path", "is outside of the project"),
    (["code.path=config/toy.yaml"], "code.path", "is a file, not a folder"),
    (["code.path=config"], "code.path", "contains no inference.py"),
    (['code.path="a\\0b"'], "code.path", "is not a valid path"),
    (["sample={}"], "sample", "neither is set"),
    (["sample={file: a, request: {}}"], "sample", "both are set"),
    (["sample.file=nothing.json"], "sample.file", "does not exist"),
    (["sample.file=config/toy.yaml"], "sample.file", "is not JSON"),
    (["sample.file=/etc/passwd"], "sample.file", "is outside of the project"),
    (["sample={request: 1, expect: {schema: /etc/x.json}}"], "sample.expect.schema", "is outside of the project"),
    (["sample={request: 1, expect: {schema: none.json}}"], "sample.expect.schema", "No such file"),
    (["sample={request: 1, expect: {schema: config/toy.yaml}}"], "sample.expect.schema", "not a JSON Schema for answers: JSON is malformed"),
    (["sample={request: 1, expect: {schema: {type: text}}}"], "sample.expect.schema", "not a JSON Schema for answers: $.type"),
    (["sample={request: 1, expect: {schema: {$ref: 'https://x.org/s.json'}}}"], "sample.expect.schema", "names nothing in the schema"),
    (["sample={request: 1, expect: {content_type: video/mp4, min_items: 2}}"], "sample.expect.min_items", "is about JSON, but sample.expect.content_type is video/mp4"),
    (["sample={request: 1, expect: {content_type: image/jpg}}"], "sample.expect.content_type", "is not one of: application/json"),
    (["sample={request: 1, expect: {min_size: 0}}"], "sample.expect.min_size", "at least 1"),
    # requirements
    (["code.requirements=['imageio @ https://x.org/i.whl']"], "code.requirements.0", "a URL cannot be locked"),
    (["code.requirements=['einops==0.8.1; python_version>\"3\"']"], "code.requirements.0", "a marker has no effect"),
    (["code.requirements=['-r more.txt']"], "code.requirements.0", "is an option of pip"),
    (["code.vendor=true", "code.requirements=[einops]", "image.repository=mine"], "code.vendor", "has is not known"),
    (["code.requirements=['git+https://x.org/i']"], "code.requirements.0", "cannot be locked"),
    (["code.requirements=['imageio 2.37.0']"], "code.requirements.0", "is not a requirement"),
    (["code.requirements=['imageio>=']"], "code.requirements.0", "is not a requirement: "),
    (["code.requirements=[sagemaker-inference==1.9]"], "code.requirements.0", "the image has 1.10.1 and depends on its own version"),
    (["code.requirements=[a==1, A==2]"], "code.requirements.1", "duplicate requirement a, first in entry 1"),
    (["code.requirements=[torch==2.7.0]"], "code.requirements.0", "the image has 2.6.0+cu124 and depends on its own version"),
    (["code.requirements=[NVIDIA_cublas-cu12==12.1]"], "code.requirements.0", "depends on its own version"),
    # remote
    (["remote={instance_type: ml.m5.xlarge}"], "remote.role", "required key is missing"),
    (["remote.role=arn:aws:iam::210987654321:user/me"], "remote.role", "the ARN of a role is"),
    (["remote.role=publisher"], "remote.role", "the ARN of a role is"),
    (["remote.role=arn:aws:iam::111122223333:role/publisher"], "remote.role", "the job runs in aws.account 210987654321"),
    ([PUBLISHER, "remote.instance_type=ml.nope"], "remote.instance_type", "ml.nope"),
    ([PUBLISHER, "remote.image=python:3.12"], "remote.image", "account.dkr.ecr.region"),
    ([PUBLISHER, "remote.image=210987654321.dkr.ecr.eu-west-1.amazonaws.com/python:3.12"], "remote.image", "the job runs in aws.region us-east-1"),
    ([PUBLISHER, "remote.token_secret=hub-token"], "remote.token_secret", "the ARN of a secret is"),
    ([PUBLISHER, f"{SECRET}eu-west-1:210987654321:secret:t"], "remote.token_secret", "the secret is in eu-west-1, and the job runs in"),
    ([PUBLISHER, f"{SECRET}us-east-1:111122223333:secret:t"], "remote.token_secret", "the secret is of account 111122223333"),
    ([PUBLISHER, "image.tag=1.13.1-transformers4.26.0-gpu-py39-cu117-ubuntu20.04"], "remote", "Python 3.9 is older than 3.10"),
]  # fmt: skip


@pytest.mark.parametrize(("sets", "key", "message"), REFUSED)
def test_a_spec_that_breaks_a_rule_is_refused(tmp_path: Path, sets: list[str], key: str, message: str) -> None:
    found = {problem.key: problem for problem in errors(tmp_path, sets)}
    assert key in found
    assert message in found[key].message


WARNED = [
    ([CLUSTER, "cluster.tls={ca: none.pem, cert: config/toy.yaml}"], "cluster.tls.ca", "there is no file 'none.pem'"),
    ([CLUSTER, *FOLDER, "model.path=models/toy"], "cluster.scheduler", "which the workers cannot read"),
    (pools("ml.g5.2xlarge", "ml.m5.xlarge"), "endpoint.instance_pools.1.instance_type", "has no GPU"),
    ([*pools("ml.g5.12xlarge", "ml.g5.2xlarge"), "endpoint.async.max_concurrent_invocations_per_instance=2"], "endpoint.async.max_concurrent_invocations_per_instance", "one worker for each of 1 GPU"),
    ([schedule("{at: 'at(2020-01-31T08:00:00)', min_capacity: 1}")], "endpoint.scaling.schedule.0.at", "at(2020-01-31T08:00:00) never comes again"),
    ([*FOLDER, "model.path=models/toy"], "model.path", "is not on this machine"),
    (["model.id=code_of/toy"], "model.id", "there is a folder of this name"),
    (["environment.TS_MAX_RESPONSE_SIZE=5"], "environment.TS_MAX_RESPONSE_SIZE", "no effect"),
    (["environment.SAGEMAKER_SUBMIT_DIRECTORY=/x"], "environment.SAGEMAKER_SUBMIT_DIRECTORY", "no effect"),
    (["environment.SAGEMAKER_MODEL_SERVER_TIMEOUT=3600"], "environment.SAGEMAKER_MODEL_SERVER_TIMEOUT", "3,600 minutes"),
    (["environment.SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS=3601"], "environment.SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS", "3,601 seconds"),
    (["environment.MMS_MAX_RESPONSE_SIZE=1000"], "environment.MMS_MAX_RESPONSE_SIZE", "below the server's own default"),
    (["image.tag=2.6.0-transformers4.51.4-gpu-py312-cu124-ubuntu22.04"], "image.tag", "not in the table"),
    (["image.repository=huggingface-vllm"], "image.repository", "not a known repository: cannot tell whether the image has what the code imports"),
    (["endpoint.instance_type=ml.m5.xlarge"], "endpoint.instance_type", "has no GPU"),
    (["endpoint.instance_type=ml.g7e.2xlarge"], "endpoint.instance_type", "need CUDA 12.8"),
    (["image.repository=huggingface-vllm", "image.tag=0.29.0-gpu-py312-cu128-ubuntu22.04"], "image.tag", "CUDA 12.8, but hosts of the family g5 have driver 470 by default"),
    (["image.repository=huggingface-vllm", "image.tag=0.29.0-gpu-py312-cu130-ubuntu22.04", "endpoint.instance_type=ml.g6.2xlarge"], "image.tag", "CUDA 13.0, but hosts of the family g6 have driver 535 by default"),
    (["image.repository=huggingface-vllm", "image.tag=0.29.0-gpu-py312-cu130-ubuntu22.04", "endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3-1"], "endpoint.inference_ami_version", "CUDA 13.0 needs driver 580 or newer; this machine image has 550"),
    (["endpoint.inference_ami_version=al2023-ami-sagemaker-inference-gpu-4-1"], "endpoint.inference_ami_version", "AWS tests images of CUDA 12 on another machine image"),
    ([f"image.tag={CPU_TAG}", "endpoint.instance_type=ml.m5.xlarge", "endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3-1"], "endpoint.inference_ami_version", "the driver for NVIDIA GPUs"),
    (["endpoint.kms_key_id=alias/volumes"], "endpoint.kms_key_id", "local disks, which their hardware encrypts"),
    (["endpoint.async.max_concurrent_invocations_per_instance=15"], "endpoint.async.max_concurrent_invocations_per_instance", "one worker for each of 1 GPUs"),
    (["endpoint.async.max_concurrent_invocations_per_instance=9", f"endpoint.instance_type={GPU_48}"], "endpoint.async.max_concurrent_invocations_per_instance", "each of 8 GPUs"),
    (["endpoint.async.max_concurrent_invocations_per_instance=3", "environment.SAGEMAKER_MODEL_SERVER_WORKERS=2"], "endpoint.async.max_concurrent_invocations_per_instance", "but 2 workers"),
    (["endpoint.scaling={min_capacity: 2, max_capacity: 2}"], "endpoint.scaling.min_capacity", "2 is more than initial_instance_count, 1"),
    (["endpoint.async.error_topic=arn:aws:sns:us-east-1:210987654321:t.fifo"], "endpoint.async.error_topic", "a FIFO topic"),
    (["endpoint.alarms={}", "endpoint.update.rollback_alarms=[backlog]"], "endpoint.update.rollback_alarms.0", "backlog is about the queue"),
    (["endpoint.update.rollback_alarms=[failure]"], "endpoint.update.rollback_alarms.0", "is no key of endpoint.alarms"),
    (["endpoint.update={rollback_alarms: [mine], blue_green: {wait_interval_in_seconds: 60}}"], "endpoint.update.rollback_alarms", "the update waits 60 s"),
    ([SLEEPS, "endpoint.update.rolling={}"], "endpoint.update.rolling", "then all requests move at once"),
    (["endpoint.alarms.no_capacity=300"], "endpoint.alarms.no_capacity", "a wake takes 5 to 15 minutes"),
    (["artifact.reuse_from=[s3://toys/models/]"], "artifact.reuse_from.0", "this is artifact.target"),
    (["code.requirements=[diffusers==0.33.1]"], "code.requirements.0", "which meets this"),
    (["code.requirements=[huggingface-hub==0.30.0]"], "code.requirements.0", "which meets this"),
    (["code.requirements=[torch]"], "code.requirements.0", "the image has torch 2.6.0+cu124, which meets this"),
    (["code.requirements=['numpy>=1.20']"], "code.requirements.0", "the image has, as far as is known, numpy 1.26.4"),
    (["code.requirements=[opencv-python-headless]"], "code.requirements.0", "opencv-python of the image installs the module cv2"),
    (["code.vendor=true"], "code.vendor", "there are no requirements whose files could be packed"),
    (["aws={account: '111122223333', role: 'arn:aws:iam::111122223333:role/toy'}"], "aws.account", "an example account"),
    (["aws.region=xx-north-1", "image.account=111111111111"], "aws.region", "not a known region"),
]  # fmt: skip


@pytest.mark.parametrize(("sets", "key", "message"), WARNED)
def test_a_doubtful_spec_is_accepted_with_a_warning(tmp_path: Path, sets: list[str], key: str, message: str) -> None:
    found = {problem.key: problem for problem in warnings(tmp_path, sets)}
    assert key in found
    assert message in found[key].message


PASSES = [
    [CLUSTER],
    [CLUSTER, "cluster.tls={ca: config/toy.yaml, cert: config/toy.yaml, key: ./config/toy.yaml}"],
    [LOCAL_CLUSTER],
    ["cluster.scheduler=tcp://localhost:8786"],
    ["cluster.scheduler=tcp://[::1]:8786"],
    ["cluster.scheduler=tcp://dask:8786", "cluster.insecure=true"],
    [CLUSTER, "artifact.layout=prefix"],
    [CLUSTER, "cluster=null"],
    ["environment.SAGEMAKER_BIND_TO_PORT=8080", "environment.SAGEMAKER_MULTI_MODEL=false", "environment.OTHER=Other"],
    ["endpoint.alarms={}", "endpoint.update.rollback_alarms=[failures, my-alarm]"],
    [SCALED, TWO, "endpoint.update.blue_green={traffic: canary, canary_size: 1}"],
    [SCALED, TWO, "endpoint.update.blue_green={traffic: linear, linear_step_size: 50%, wait_interval_in_seconds: 60}"],
    [SCALED, TWO, "endpoint.update.rolling={rollback_maximum_batch_size: 100%}"],
    [TWO, "endpoint.update.rolling={}"],
    ["endpoint.alarms={}"],
    ["endpoint.alarms={topics: [arn:aws:sns:us-east-1:210987654321:t], no_capacity: 0}"],
    GOV,
    CHINA,
    SANDBOX,
    [*pools("ml.g5.2xlarge", "ml.g6.2xlarge"), "endpoint.variant_instance_provision_timeout_in_seconds=600"],
    [schedule("{at: 'cron(0 8 ? * MON-FRI *)', timezone: Europe/Berlin, min_capacity: 1}, {at: 'cron(0 19 ? * MON-FRI *)', timezone: Europe/Berlin, min_capacity: 0, max_capacity: 1}")],
    [schedule("{at: rate(1 day), min_capacity: 3, max_capacity: 4}, {at: rate(2 days), max_capacity: 1}")],
    ["image.account=210987654321"],
    [f"image.tag={CPU_TAG}", "endpoint.instance_type=ml.m5.xlarge"],
    [f"image.tag={CPU_TAG}", "endpoint.instance_type=ml.m5.xlarge", "endpoint.volume_size_in_gb=512"],
    [f"image.tag={CPU_TAG}", "endpoint.instance_type=ml.m5.xlarge", "endpoint.kms_key_id=alias/volumes"],
    ["image.tag=2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04-v2.3"],
    ["endpoint.inference_ami_version=al2-ami-sagemaker-inference-gpu-3-1"],
    ["endpoint.async.max_concurrent_invocations_per_instance=4", "endpoint.instance_type=ml.g5.12xlarge"],
    ["endpoint.async.max_concurrent_invocations_per_instance=4", "environment.SAGEMAKER_MODEL_SERVER_WORKERS=4"],
    ["endpoint.scaling={min_capacity: 0, max_capacity: 3}"],
    ["endpoint.async.success_topic=arn:aws:sns:us-east-1:210987654321:my.topic"],
    ["endpoint.tags={a b: 'c/d=e+f@g:h', \u00e9t\u00e9: '\u6771\u4eac 1'}"],
    ["artifact.sse=aws:kms", "artifact.kms_key_id=arn:aws:kms:us-east-1:210987654321:key/1234abcd"],
    ["artifact.target=s3://toys", "endpoint.async={s3_output_path: s3://results/o, s3_failure_path: s3://results/f}"],
    ["artifact.target=s3://toys/models", "endpoint.async.s3_output_path=s3://toys/models-out/"],
    ["environment.SAGEMAKER_MODEL_SERVER_TIMEOUT=60"],
    ["environment.MMS_MAX_RESPONSE_SIZE=2147483647"],
    ["environment.MAX_NEW_TOKENS=256", "environment.TOKENIZERS_PARALLELISM=true", "environment.EOS_TOKEN=</s>"],
    ["environment.HF_HUB_DISABLE_IMPLICIT_TOKEN=1", "environment.DB_PASSWORD="],
    ["environment.DB_PASSWORD=arn:aws:secretsmanager:us-east-1:210987654321:secret:x"],
    ["environment.API_KEY_NAME=main-key", "environment.MONKEY=chi", "environment.KEY=x", "environment.HF_HOME=hf_cache_dir_for_models"],
    ["sample.request={inputs: 1}"],
    ["sample={file: config/toy.yaml, content_type: text/yaml}"],
    ["sample={request: 1, accept: image/png, expect: {content_type: image/png, min_size: 10}}"],
    ["sample={request: 1, expect: {schema: {$ref: '#/$defs/a', $defs: {a: {type: array}}}, min_items: 1}}", "smoke=false"],
    ["code.requirements=['imageio[ffmpeg]==2.37.0', 'a===1.0', imageio-ffmpeg, 'b>=2,<3', c==2.*, 'peft[extra]']"],
    ["code.requirements=[einops==0.8.1]", "code.vendor=true", "endpoint.enable_network_isolation=true"],
    [PUBLISHER, f"{SECRET}us-east-1:210987654321:secret:sagepack/hub-token-a1B2c3", "remote.instance_type=ml.c5.4xlarge"],
    [PUBLISHER, "remote.image=111122223333.dkr.ecr.us-east-1.amazonaws.com/python:3.12-slim"],
]  # fmt: skip


@pytest.mark.parametrize("sets", PASSES)
def test_a_spec_within_the_rules_is_accepted_without_a_warning(tmp_path: Path, sets: list[str]) -> None:
    assert warnings(tmp_path, sets) == []


# Built from pieces, so that no scanner takes this file for a leak.
SECRETS = [
    ("A", "hf_" + "aB3" * 11, "a Hugging Face token"),
    ("A", "AKIA" + "ABCD" * 4, "an AWS access key"),
    ("A", "ASIA" + "ABCD" * 4, "an AWS access key"),
    ("A", "-----BEGIN RSA " + "PRIVATE KEY-----", "a private key"),
    ("A", "ghp_" + "x1" * 18, "a GitHub token"),
    ("A", "sk-" + "x1" * 18, "an OpenAI key"),
    ("A", "https://user:" + "pass@example.org/x", "an address with a password"),
    ("HF_TOKEN", "anything at all", "a secret, by its name"),
    ("HF_API_TOKEN", "x1y2z3w4", "a secret, by its name"),
    ("HUGGING_FACE_HUB_TOKEN", "x1y2z3w4", "a secret, by its name"),
    ("DB_PASSWORD", "hunter22", "a secret, by its name"),
    ("CLIENT_SECRET", "hunter22", "a secret, by its name"),
    ("OPENAI_API_KEY", "hunter22", "a secret, by its name"),
    ("AWS_SECRET_ACCESS_KEY", "hunter22", "a secret, by its name"),
    ("dbPassword", "hunter22", "a secret, by its name"),
]


@pytest.mark.parametrize(("name", "value", "kind"), SECRETS)
def test_a_secret_is_refused_and_never_repeated(tmp_path: Path, name: str, value: str, kind: str) -> None:
    for section in ("environment", "endpoint.tags"):
        problems = errors(tmp_path, [f"{section}.{name}={json.dumps(value)}"])
        (found,) = [problem for problem in problems if problem.key == f"{section}.{name}"]
        assert kind in found.message
        assert value not in "".join(map(str, problems))


@pytest.mark.parametrize(
    "key",
    [
        "model.revision",
        "model.variant",
        "name",
        "aws.profile",
        "image.tag",
        "endpoint.instance_type",
        "artifact.target",
    ],
)
def test_a_secret_anywhere_is_refused_and_never_repeated(tmp_path: Path, key: str) -> None:
    token = "hf_" + "aB3" * 11
    problems = errors(tmp_path, [f"{key}={token}"])
    assert any(problem.key == key and "Hugging Face token" in problem.message for problem in problems)
    assert token not in "".join(map(str, problems))


@pytest.mark.parametrize("value", ["[{token}]", "{{x: {token}}}", "{token}"])
def test_a_secret_in_a_value_of_the_wrong_kind_is_never_repeated(tmp_path: Path, value: str) -> None:
    token = "hf_" + "aB3" * 11
    for key in ("environment.A", "code.path", "endpoint", "code.requirements", "sandbox", "sample.file"):
        assert token not in "".join(map(str, errors(tmp_path, [f"{key}={value.format(token=token)}"])))


SHARED = "code.shared=[code_of/shared]"


@pytest.mark.parametrize(("where", "sets"), [("toy", []), ("shared", [SHARED])])
def test_the_code_of_the_container_hides_no_module_of_python(tmp_path: Path, where: str, sets: list[str]) -> None:
    project(tmp_path)
    folder = tmp_path / "code_of" / where
    for name in ("types.py", "helpers.py", "json/__init__.py", "data/x.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert [(one.location, one.message) for one in errors(tmp_path, sets)] == [
        (
            f"code_of/{where}/{name}",
            f"hides the module {name.partition('.')[0]} of Python's standard library in the whole container",
        )
        for name in ("json", "types.py")
    ]


@pytest.mark.parametrize(("where", "sets"), [("toy", []), ("shared", [SHARED])])
def test_a_requirements_file_in_the_code_is_reported(tmp_path: Path, where: str, sets: list[str]) -> None:
    project(tmp_path)
    (tmp_path / "code_of" / where).mkdir(exist_ok=True)
    (tmp_path / "code_of" / where / "requirements.txt").write_text("imageio\n")
    (warning,) = warnings(tmp_path, sets)
    assert "is not locked" in warning.message
    (problem,) = errors(tmp_path, [*sets, "endpoint.enable_network_isolation=true"])
    assert "isolated container" in problem.message
    (problem,) = errors(tmp_path, [*sets, "code.requirements=[imageio==2.37.0]"])
    assert "one list" in problem.message


def test_a_shared_folder_that_is_not_there_is_reported_at_its_place_in_the_list(tmp_path: Path) -> None:
    project(tmp_path)
    (problem,) = errors(tmp_path, ["code.shared=[code_of/toyy]"])
    assert problem.key == "code.shared.0"
    assert problem.fix is not None
    assert "code_of/toy" in problem.fix


def test_mistakes_in_files_are_reported_with_those_of_the_spec_at_their_lines(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "code_of" / "toy" / "inference.py").write_text(
        "\nDB_PASSWORD = 'hunter22'\ndef model_fn(model_dir): ...\n"
    )
    (tmp_path / "code_of" / "toy" / ".netrc").touch()
    (tmp_path / "sample.json").write_text('{"api_key": "abcd1234efgh"}')
    found = {
        problem.location: problem
        for problem in errors(tmp_path, ["sample.file=./sample.json", "environment.DB_PASS=hunter22"])
    }
    assert list(found) == [
        "code_of/toy/.netrc",
        "code_of/toy/inference.py:2",
        "sample.json:1",
        "--set environment.DB_PASS",
    ]
    assert all(problem.fix for problem in found.values())
    assert "hunter22" not in repr(found)
    listed = ["code_of/toy/.netrc", "code_of/toy/inference.py", "sample.json", "gone.pem"]
    (warning,) = warnings(tmp_path, ["sample.file=./sample.json", f"not_secret={json.dumps(listed)}"])
    assert (warning.key, warning.message) == ("not_secret.3", "'gone.pem' does not exist")


def test_a_sample_that_is_nested_too_deeply_is_no_json(tmp_path: Path) -> None:
    project(tmp_path)
    (tmp_path / "sample.json").write_text("[" * 100_000)
    (problem,) = errors(tmp_path, ["sample.file=sample.json"])
    assert problem.key == "sample.file"
    assert "is not JSON" in problem.message


def test_a_link_out_of_the_project_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "root"
    project(root)
    (tmp_path / "elsewhere").mkdir()
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (problem,) = errors(root, ["code.path=linked"])
    assert "is outside of the project" in problem.message


@pytest.mark.parametrize(
    ("uri", "legal"),
    [
        ("s3://abc", True),
        ("s3://abc/", True),
        ("s3://a-b.c1/x/y_z/", True),
        ("s3://ab", False),
        ("s3://" + "a" * 64, False),
        ("s3://Abc/x", False),
        ("s3://a_b/x", False),
        ("s3://-abc", False),
        ("s3://abc-", False),
        ("s3://a..b", False),
        ("s3://192.168.1.1/x", False),
        ("s3://xn--abc", False),
        ("s3://abc--x-s3", False),
        ("s3://abc//x", False),
        ("s3://abc/x//y", False),
        ("s3://abc/../y", False),
        ("s3://abc/x y", False),
        ("s3://abc/x?y", False),
        ("s3:///x", False),
        ("s3://", False),
        ("https://abc/x", False),
        ("abc", False),
        ("s3://abc/" + "x" * 513, False),
    ],
)
def test_targets_are_buckets_s3_would_make(uri: str, legal: bool) -> None:
    assert (uri_problem(uri) is None) == legal


@pytest.mark.parametrize(
    ("name", "accelerator", "arm", "refuses_volume", "gpus"),
    [
        ("ml.g5.2xlarge", "gpu", False, True, 1),
        ("ml.g4dn.xlarge", "gpu", False, True, 1),
        ("ml.g6e.12xlarge", "gpu", False, True, 4),
        ("ml.p3.2xlarge", "gpu", False, False, 1),
        ("ml.p4de.24xlarge", "gpu", False, True, 8),
        ("ml.p5en.48xlarge", "gpu", False, True, 8),
        ("ml.p6e-gb200.36xlarge", "gpu", True, False, None),
        ("ml.m5.xlarge", None, False, False, None),
        ("ml.m5d.xlarge", None, False, True, None),
        ("ml.c7g.xlarge", None, True, False, None),
        ("ml.r6gd.xlarge", None, True, True, None),
        ("ml.t2.medium", None, False, False, None),
        ("ml.inf2.xlarge", "neuron", False, False, None),
        ("ml.trn1.2xlarge", "neuron", False, True, None),
        ("ml.dl1.24xlarge", "gaudi", False, True, None),
    ],
)
def test_the_name_of_an_instance_type_says_what_it_is(
    name: str, accelerator: str | None, arm: bool, refuses_volume: bool, gpus: int | None
) -> None:
    found = instances.parse(name)
    assert found is not None
    assert (found.accelerator, found.arm, found.refuses_volume, found.gpus) == (accelerator, arm, refuses_volume, gpus)


def test_what_is_no_instance_type_has_no_parts() -> None:
    assert [instances.parse(name) for name in (None, "", "g5.xlarge", "ml.g5", "ml.g5.x.y", "ml.G5.large")] == [
        None
    ] * 6


def test_the_region_decides_the_role_and_the_account(tmp_path: Path) -> None:
    assert load(tmp_path, GOV).spec().aws.region == "us-gov-west-1"


def test_a_sample_with_fields_that_the_handler_does_not_declare_is_an_error(tmp_path: Path) -> None:
    project(root := tmp_path)
    schema = {"type": "object", "properties": {"seed": {"type": "integer"}}, "additionalProperties": False}
    declaration = root / "code_of" / "toy" / "request.schema.json"
    declaration.write_text(json.dumps(schema))
    (root / "sample.json").write_text('{"seeds": 1}')
    (found,) = errors(root, ["sample.file=sample.json"])
    assert (found.location, found.message) == ("sample.json", "seeds: unknown key")
    (found,) = errors(root, ["sample={request: {seed: one}}"])
    assert (found.key, found.message) == ("sample.request.seed", '"one" is text, expected an integer')
    load(root, ["sample={request: {seed: 1}}"])
    declaration.write_text('{"type": 1}')
    (found,) = errors(root, ["sample={request: {seed: 1}}"])
    assert found.location == "code_of/toy/request.schema.json"
    assert "not a JSON Schema of requests" in found.message


def test_a_sample_of_another_media_type_than_the_handler_declares_is_an_error(tmp_path: Path) -> None:
    project(tmp_path)
    schema = {"x-accept": ["application/json", "video/mp4"], "x-content-type": ["application/json", "image/*"]}
    (tmp_path / "code_of" / "toy" / "request.schema.json").write_text(json.dumps(schema))
    (tmp_path / "sample").write_text("a")
    sets = ["sample.file=sample", "sample.content_type=text/csv", "sample.accept=image/gif"]
    assert {found.key: (found.message, found.fix) for found in errors(tmp_path, sets)} == {
        "sample.accept": (
            "the handler has no answer of the type image/gif",
            "code_of/toy/request.schema.json declares application/json, video/mp4",
        ),
        "sample.content_type": (
            "the handler takes no request of the type text/csv",
            "code_of/toy/request.schema.json declares application/json, image/*",
        ),
    }
    load(tmp_path, ["sample.file=sample", "sample.content_type=image/webp", "sample.accept=video/mp4"])


@pytest.mark.parametrize("value", ["video/mp4", [1], {}])
def test_media_types_that_are_no_list_of_text_are_an_error(tmp_path: Path, value: object) -> None:
    project(tmp_path)
    (tmp_path / "code_of" / "toy" / "request.schema.json").write_text(json.dumps({"x-accept": value}))
    (found,) = errors(tmp_path)
    assert found.location == "code_of/toy/request.schema.json"
    assert "what it says of media types is wrong: " in found.message
    assert "x-accept" in found.message


@pytest.mark.parametrize("key", ["1", "seeds", "endpoint"])
def test_an_unknown_field_at_the_top_of_a_sample_is_told(tmp_path: Path, key: str) -> None:
    project(tmp_path)
    schema = {"properties": {"seed": {"type": "integer"}}, "additionalProperties": False}
    (tmp_path / "code_of" / "toy" / "request.schema.json").write_text(json.dumps(schema))
    (found,) = errors(tmp_path, [f"sample={{request: {{{key}: 1}}}}"])
    assert (found.key.partition(".request")[0], found.message) == ("sample", "unknown key")


@pytest.mark.parametrize(
    ("tag", "instance_type", "ami"),
    [
        ("0.29.0-gpu-py312-cu130-ubuntu22.04", "ml.g5.2xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("0.29.0-gpu-py312-cu128-ubuntu22.04", "ml.g5.2xlarge", "al2-ami-sagemaker-inference-gpu-3-1"),
        ("0.29.0-gpu-py312-cu128-ubuntu22.04", "ml.g6.2xlarge", ""),
        ("0.29.0-gpu-py312-cu124-ubuntu22.04", "ml.g5.2xlarge", ""),
        ("0.29.0-gpu-py312-cu124-ubuntu22.04", "ml.g5.2xlarge", "al2-ami-sagemaker-inference-gpu-2-1"),
        ("0.29.0-gpu-py312-cu130-ubuntu22.04", "ml.g7e.2xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
        ("latest", "ml.g5.2xlarge", "al2023-ami-sagemaker-inference-gpu-4-1"),
    ],
)
def test_a_driver_that_fits_the_image_is_no_matter(tmp_path: Path, tag: str, instance_type: str, ami: str) -> None:
    sets = ["image.repository=huggingface-vllm", f"image.tag={tag}", f"endpoint.instance_type={instance_type}"]
    sets += [f"endpoint.inference_ami_version={ami}"] if ami else []
    assert {problem.key for problem in warnings(tmp_path, sets)} <= {"image.repository"}


def test_the_drivers_are_those_that_aws_describes() -> None:
    variant = botocore.session.get_session().get_service_model("sagemaker").shape_for("ProductionVariant")
    member = variant.members["InferenceAmiVersion"]
    described = " ".join(re.sub(r"<[^>]+>", " ", member.documentation).split())
    facts = r"(al2\S+-gpu-\S+) Accelerator: GPU NVIDIA driver version: (\d+) CUDA version: (\d+)\.(\d+)"
    found = re.findall(facts, described)
    assert {
        name: drivers.Host(int(driver), (int(major), int(minor))) for name, driver, major, minor in found
    } == drivers.HOSTS
    assert set(member.enum) == {*drivers.HOSTS, drivers.NEURON}
