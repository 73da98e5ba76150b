"""Every result as people read it, at 60, 80 and 200 columns, with signs and without colour."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from sagepack.api import results
from sagepack.cli import screens
from sagepack.cli.layout import Screen, plain
from sagepack.cli.output import problem
from sagepack.deploy.change import Change
from sagepack.deploy.origin import Origin
from sagepack.deploy.preflight.check import Check
from sagepack.deploy.smoke_result import Smoke
from sagepack.engine.outputs import Archive, LiveEndpoint, Published
from sagepack.engine.plan import Action, Content
from sagepack.errors import Diagnostic, RemoteError, SpecError, UserError
from tests.helpers.golden import Golden

if TYPE_CHECKING:
    from sagepack.api.results.exporting import FileState
    from sagepack.cli.layout import Block

WIDTHS = (60, 80, 200)
DIGEST = "1a1ea81dee6ca0a094997c38126d6db3c53ab9d294afb177e6e307914a2e6507"
URI = "s3://sagepack-sandbox/models/svd/{}/model.tar.gz"
UNET = "unet/diffusion_pytorch_model.fp16.safetensors"
LOCK = "config/locks/svd-prod.lock.yaml"
REPO, COMMIT = "stabilityai/stable-video-diffusion-img2vid-xt-1-1", "043843887ccd51926e3efed36270444a838e7861"
CHANGES = (
    Change("update", "", "package", "S3Uri", URI.format("1a1ea81dee6ca0a0"), URI.format("f5a2f5a2f5a2f5a2")),
    Change("update", "", "endpoint.instance_type", "InstanceType", "ml.g5.2xlarge", "ml.g5.4xlarge"),
    Change("update", "", "environment.HF_HUB_OFFLINE", "Environment.HF_HUB_OFFLINE", "none", "1"),
    Change("scaling", "", "endpoint.scaling.max_capacity", "ScalableTarget.MaxCapacity", "2", "4"),
    Change("scaling", "", "alarm svd-has-backlog-without-capacity", "Alarm.svd", "there", "none"),
)
ACTIONS = (
    Action("lock", "skip", (f"{LOCK} is up to date with the spec",)),
    Action("download", "skip", ("S3 has all that is needed",)),
    Action("assemble", "run", ("code/inference.py changed", "code/handler_images.py is new")),
    Action("checksum", "run", ("code/inference.py changed",)),
    Action(
        "upload", "run", ("the package is not in S3: send 8.5 KiB, copy 6.1 MiB inside S3",), send=8704, copy=6380000
    ),
    Action("deploy", "run", ("2 changes",), changes=CHANGES),
)
NEEDS = {
    "lock": (),
    "download": ("lock",),
    "assemble": ("lock",),
    "checksum": ("assemble",),
    "upload": ("download", "checksum"),
    "deploy": ("upload",),
}
IDLE = tuple(Action(action.step, "skip", ("up to date",)) for action in ACTIONS[:5])
FOREIGN = "endpoint svd belongs to another spec or environment: it has sagepack:env=prod, sagepack:name=llava"
CONTENTS = (
    Content("LICENSE.md", 94, 0, 99, 0, 0, None, None),
    Content(
        UNET, 5_250_000, 5_250_005, 0, 0, 0, URI.format("1a1ea81dee6ca0a0"), "released under the same name and target"
    ),
    Content("code/inference.py", 7600, 0, 7605, 0, 0, None, None),
)
IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference@sha256:{}"
SIDE = results.ComparedSide(
    "live",
    time="2026-01-02T03:04:05Z",
    by="arn:aws:sts::210987654321:assumed-role/deployer/ann",
    commit=COMMIT,
    clean=False,
    manifest=f"sha256:{DIGEST}",
    package=URI.format("1a1ea81dee6ca0a0"),
    image=IMAGE.format("1a" * 32),
    config="svd-0123456789ab",
)
DEPLOYED = results.Deployed(
    record="s3://b/models/svd/deployments/prod/20260102T030405000000Z.json",
    time="2026-01-02T03:04:05Z",
    by="arn:aws:sts::210987654321:assumed-role/deployer/ann",
    commit=COMMIT,
    clean=False,
    endpoint="svd",
    manifest=f"sha256:{DIGEST}",
    package=URI.format("1a1ea81dee6ca0a0"),
    lock=f"sha256:{DIGEST}",
    image="image",
    model="svd-ab7a74a174f4",
    config="svd-cd5f3879bcb2",
    variables=(),
    settings={},
    smoke=Smoke(passed=True, seconds=(41.5, 12.25)),
)
ENDPOINT = LiveEndpoint(
    name="svd",
    arn="arn:aws:sagemaker:eu-west-1:210987654321:endpoint/svd",
    region="eu-west-1",
    model="svd-ab7a74a174f4",
    config="svd-cd5f3879bcb2",
    console="https://eu-west-1.console.aws.amazon.com/sagemaker/home?region=eu-west-1#/endpoints/svd",
    log="https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#logsV2:log-groups/log-group/x",
)
ARCHIVE = Archive("dist/svd/prod/model.tar.gz", 6386874, DIGEST)
TIMING = results.Timing(0.213, 1.5, 0.04)
FRAMES = tuple(f"build/answers/svd-local/frame-{number:03}.jpg" for number in range(25))
CHECKS = (
    Check("bucket", "S3 bucket", "ok", "bucket sagepack-sandbox is account 123456789012's, in us-east-1"),
    Check(
        "quota",
        "instance quota",
        "failed",
        "the quota 'ml.g5.2xlarge for endpoint usage' is 0",
        "request 2 in Service Quotas",
    ),
    Check(
        "stale-uploads", "stale uploads", "warning", "1 unfinished upload is older than 24 h", "`sagepack gc` aborts it"
    ),
    Check(
        "serving",
        "serving stack",
        "warning",
        "the image's serving stack is not installed",
        "run `sagepack serve.install`",
    ),
)
PROBLEMS = SpecError(
    [
        Diagnostic(
            ("endpoint", "instance_type"),
            "AWS knows no instance type 'ml.g5.3xlarge' for endpoints",
            "did you mean 'ml.g5.2xlarge'?",
            location="config/svd.yaml:22:18",
        ),
        Diagnostic(("endpoimt",), "unknown key", "did you mean 'endpoint'?", location="config/svd.yaml:20:1"),
    ]
)


def exported(state: FileState, *, checked: bool = False, published: bool | None = None) -> results.Exported:
    folder = "export/svd-prod/cloudformation"
    diff = (
        ("@@ -63 +63 @@", "-        InitialInstanceCount: 1", "+        InitialInstanceCount: 2")
        if state == "changed"
        else ()
    )
    return results.Exported(
        format="cloudformation",
        folder=folder,
        files=(
            results.ExportedFile(f"{folder}/endpoint.template.yaml", state, diff),
            results.ExportedFile(f"{folder}/README.md", "missing" if state == "changed" else state),
        ),
        checked=checked,
        endpoint="svd",
        package="s3://bucket/models/svd/0123456789abcdef/model.tar.gz",
        manifest="sha256:0123456789abcdef",
        published=published,
        limits=("No release is recorded: `releases`, `rollback` and `promote` know only what `deploy` did.",),
        next=(
            "aws cloudformation deploy --region us-east-1 --template-file endpoint.template.yaml --stack-name svd-prod",
        ),
    )


GARBAGE = (
    results.Removable(
        "package",
        "s3://b/models/svd/0123456789abcdef",
        8_999_999_000,
        0.21,
        "no endpoint, model or kept deployment needs it; published 2026-01-02 03:04",
    ),
    results.Removable("model", "svd-0123456789ab", 0, 0.0, "no endpoint or kept deployment needs it"),
    results.Removable("requests and answers", "s3://b/async/svd/output/", 1000, 0.0, "the oldest of 2026-01-02", 3),
)
KEPT_MODEL = results.KeptResource("model", "svd-0123456789ab", "endpoint other serves it")
LEFT = (
    results.Left("packages", "s3://b/models/svd/", 150_000_000_000, 3.2, "`invoke gc` removes those that nobody needs"),
    results.Left("log group", "/aws/sagemaker/Endpoints/svd", 1, None, "it is kept for ever"),
    results.Left("topic", "arn:aws:sns:us-east-1:123456789012:done", None, 0.0, "it was there before"),
)
KEPT = results.KeptPackage("s3://b/models/svd/fedcba9876543210", 7, "deployed to prod on 2026-01-02, the newest there")
SCANNED = results.Scanned(
    mode="strict",
    locked=True,
    files=(
        results.ScannedFile("unet/diffusion_pytorch_model.fp16.safetensors", 3 << 30, True, "safe", ()),
        results.ScannedFile("LICENSE.md", 94, False, None, ()),
        results.ScannedFile(
            "text_encoder/training_args.bin",
            5_000,
            True,
            None,
            (
                results.ScanFinding(
                    "calls",
                    "would call transformers.training_args.TrainingArguments when loaded (member archive/data.pkl)",
                    'exclude it (model.exclude: ["training_args.bin"]), or use safetensors; if you trust its publisher, allow these classes '
                    "(trust.allow: [transformers.training_args.TrainingArguments])",
                    ("transformers.training_args.TrainingArguments",),
                    refused=False,
                    damaged=False,
                ),
            ),
        ),
        results.ScannedFile(
            "model.ckpt",
            9 << 30,
            True,
            "unsafe",
            (
                results.ScanFinding(
                    "calls",
                    "would call os.system when loaded (member archive/data.pkl)",
                    'exclude it (model.exclude: ["model.ckpt"]), or use safetensors; os.system runs any command that the file says, so trust.allow does not take it',
                    ("os.system",),
                    refused=True,
                    damaged=False,
                ),
            ),
        ),
    ),
    bytes_read=400_000,
    license="mit",
    gated=None,
)
SCREENS: dict[str, list[Block]] = {
    "init": screens.lines(
        results.Initialized(
            files=("config/sst2.yaml", "inference_code/sst2/inference.py"),
            spec="config/sst2.yaml",
            task="text-classification",
            image="huggingface-pytorch-inference:x",
            instance_type="ml.m5.xlarge",
            seen=(
                "it is: transformers, BertForSequenceClassification, text-classification",
                "files: 5 files, 255.6 MiB; leaving out 7 files saves 1.2 GiB",
                "weights: 255.4 MiB of float32",
                "licence: apache-2.0",
            ),
            assumptions=(
                "endpoint.instance_type: ml.m5.xlarge: 16 GB of memory and no GPU; the model needs about 306.5 MiB",
            ),
            next=("sagepack package", "sagepack deploy"),
        )
    ),
    "validate": screens.lines(results.Validated("config/svd.yaml", "svd", "prod")),
    "lock": screens.lines(results.Locked(LOCK, REPO, COMMIT, None, 10, 6380000, changed=True)),
    "lock-requirements": screens.lines(
        results.Locked(
            LOCK,
            REPO,
            COMMIT,
            None,
            10,
            6380000,
            changed=True,
            packages=(
                results.AddedPackage("av", "19.0.2", 34990159),
                results.AddedPackage("safetensors", "0.8.0", 516040, "0.7.0"),
            ),
        )
    ),
    "plan": screens.lines(results.Plan("deploy", ACTIONS, CONTENTS)),
    "plan, nothing to do": screens.lines(results.Plan("package", IDLE)),
    "plan, blocked": screens.lines(results.Plan("deploy", (*IDLE, Action("deploy", "blocked", (FOREIGN,))))),
    "graph": screens.lines(results.Graph("deploy", "text", ACTIONS, NEEDS)),
    "graph, in a file": screens.lines(results.Graph("deploy", "svg", ACTIONS, NEEDS, "<svg />\n", "steps.svg")),
    "promote --dry-run": screens.lines(
        results.Plan(
            "deploy",
            (
                Action("upload", "run", ("the package is not in S3: copy 6.1 MiB inside S3",), copy=6400000),
                Action("deploy", "run", ("why",), changes=(Change("create", "why", "endpoint svd"),)),
            ),
            CONTENTS,
            Origin("dev", "s3://dev/svd/deployments/dev/20260101T020304000000Z.json"),
        )
    ),
    "package": screens.lines(results.Built("package", ACTIONS, f"sha256:{DIGEST}", ARCHIVE)),
    "package, nothing to do": screens.lines(results.Built("package", IDLE, f"sha256:{DIGEST}", ARCHIVE)),
    "deploy": screens.lines(
        results.Built(
            "deploy", ACTIONS, f"sha256:{DIGEST}", artifact=Published(URI.format(DIGEST[:16])), endpoint=ENDPOINT
        )
    ),
    "scan": screens.lines(SCANNED),
    "scan, nothing found": screens.lines(replace(SCANNED, files=SCANNED.files[:1])),
    "scan that only warns, without a lock": screens.lines(replace(SCANNED, mode="warn", locked=False)),
    "verify": screens.lines(results.Verified(ARCHIVE, 13, rebuilt=True)),
    "verify --remote": screens.lines(
        results.VerifiedRemote(
            artifact=URI.format(DIGEST[:16]),
            manifest=f"sha256:{DIGEST}",
            release="s3://sagepack-sandbox/models/svd/releases/20260102T030405.678901Z.json",
            deep=False,
            files=13,
            size=6386874,
            requests=7,
            bytes_read=9000,
            not_compared=("S3 keeps no checksum of unet/config.json",),
            builder="https://github.com/team/models/.github/workflows/publish.yml@refs/heads/main",
            commit=DIGEST[:40],
            modified=True,
            sbom=True,
            earlier=("provenance.json", "sbom.cdx.json"),
        )
    ),
    "predict": screens.lines(results.Answer(FRAMES[:4], "s3://b/out", "id", 9000, 1.5, TIMING, miniature=True)),
    "predict, many frames": screens.lines(results.Answer(FRAMES, "s3://b/out", "id", 9000, 1.5, TIMING)),
    "predict, a text": screens.lines(
        results.Answer(
            ("build/answers/a-local/answer.json",),
            "s3://b/out",
            "id",
            40,
            1.5,
            results.Timing(None, 1.5, 0.04),
            '[{"label": "POSITIVE"}]\n',
        )
    ),
    "status": screens.lines(
        results.EndpointStatus(
            "svd",
            state="InService",
            since="2026-01-02T03:04:05Z",
            arn=ENDPOINT.arn,
            config="svd-cd5f3879bcb2",
            model="svd-ab7a74a174f4",
            model_exists=True,
            manifest=f"sha256:{DIGEST}",
            signature=results.ServedSignature(
                results.Signature("config/keys/prod.pub", DIGEST, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))
            ),
            instance_type="ml.g5.2xlarge",
            instances=0,
            cost_per_hour=0.0,
            desired_instances=1,
            fewest_instances=0,
            most_instances=2,
            policies=("svd-backlog", "svd-wake"),
            next_scheduled=results.ScheduledBounds("svd-schedule-1", "2026-01-02T07:00:00Z", 1, None),
            activity=results.ScalingActivity(
                "2026-01-02T03:04:05Z", "Successful", "Successfully set desired instance count to 1."
            ),
            backlog=3,
            alarms=(
                results.AlarmState("sagepack/svd/backlog", "OK", acts=True),
                results.AlarmState(
                    "sagepack/svd/failures",
                    "ALARM",
                    acts=True,
                    since="2026-01-02T03:04:05Z",
                    reason="Threshold Crossed: 1 datapoint [2.0] was greater than or equal to the threshold (1.0).",
                ),
                results.AlarmState("sagepack/svd/no-capacity", "INSUFFICIENT_DATA", acts=True),
                results.AlarmState("svd-has-backlog-without-capacity", "OK", acts=False),
            ),
            failures=(
                results.RequestFailure(
                    "2026-01-02T03:04:05Z",
                    "the endpoint failed on the request (400): CUDA out of memory. Tried to allocate 2.00 GiB",
                    "s3://b/async/svd/failure/0d9e9ea1-error.out",
                    "gpu-memory",
                ),
            ),
            release=DEPLOYED,
            failed=results.FailedDeployment("2026-01-02T03:04:05Z", "svd-0123456789ab"),
            console=ENDPOINT.console,
            log=ENDPOINT.log,
        )
    ),
    "status, several instance types": screens.lines(
        results.EndpointStatus(
            "svd",
            state="InService",
            since="2026-01-02T03:04:05Z",
            model="svd-ab7a74a174f4",
            model_exists=True,
            instance_pools=(results.PoolStatus("ml.g5.2xlarge", 1), results.PoolStatus("ml.g6.2xlarge", 0)),
            instances=1,
            desired_instances=2,
            cost_per_hour=1.515,
            backlog=0,
            alarms=(
                results.AlarmState("sagepack/svd/backlog", "OK", acts=True),
                results.AlarmState("sagepack/svd/failures", "OK", acts=True),
                results.AlarmState("sagepack/svd/no-capacity", "INSUFFICIENT_DATA", acts=True),
            ),
        )
    ),
    "status, much is missing": screens.lines(
        results.EndpointStatus(
            "svd",
            state="Failed",
            since="2026-01-02T03:04:05Z",
            reason="The primary container for production variant AllTraffic did not pass the ping health check.",
            config="svd-cd5f3879bcb2",
            unknown=("reading the metric ApproximateBacklogSize failed: AccessDenied: not authorized",),
        )
    ),
    "status, not as it was signed": screens.lines(
        results.EndpointStatus(
            "svd",
            state="InService",
            since="2026-01-02T03:04:05Z",
            signature=results.ServedSignature(
                problem="the package of the endpoint is not what was signed: 3 findings",
                details=(
                    's3://models/svd/ab7a74a174f4/model.tar.gz: the ETag is "9", by the signed release it is "8"',
                    "s3://models/svd/ab7a74a174f4/index.json: it is missing",
                    "s3://models/svd/ab7a74a174f4/sbom.cdx.json: it is missing",
                ),
                fix="find out who wrote there",
            ),
        )
    ),
    "status, managed by a stack": screens.lines(
        results.EndpointStatus(
            "svd", state="InService", since="2026-01-02T03:04:05Z", managed_by="the CloudFormation stack svd-prod"
        )
    ),
    "export": screens.lines(exported("written", published=False)),
    "export, --check": screens.lines(exported("unchanged", checked=True)),
    "export, --check finds a difference": screens.lines(exported("changed", checked=True)),
    "status, no endpoint": screens.lines(results.EndpointStatus("svd")),
    "logs": screens.lines(
        results.Log(
            "svd",
            "/aws/sagemaker/Endpoints/svd",
            exists=True,
            since="2026-01-02T03:04:05Z",
            left_out=2,
            lines=(
                results.LogLine("2026-01-02T03:04:05.678Z", "i-0123456789abcdef0", "model loaded"),
                results.LogLine("2026-01-02T03:04:06.789Z", "i-0fedcba9876543210", "ready"),
            ),
        )
    ),
    "logs, nothing new": screens.lines(
        results.Log(
            "svd", "/aws/sagemaker/Endpoints/svd", exists=True, since="2026-01-02T03:04:05Z", left_out=0, lines=()
        )
    ),
    "logs, no container": screens.lines(
        results.Log(
            "svd", "/aws/sagemaker/Endpoints/svd", exists=False, since="2026-01-02T03:04:05Z", left_out=0, lines=()
        )
    ),
    "predict, many requests": screens.lines(
        results.Answers(
            "build/answers/svd-local/batches/requests",
            20,
            15,
            2,
            (
                *(
                    results.FailedRequest(
                        f"requests.jsonl:{number}",
                        "the endpoint failed on the request (500): Worker died.",
                        refused=False,
                        location=f"request {number}; the failure as it came is at s3://b/failure/{number}",
                    )
                    for number in (3, 5)
                ),
                results.FailedRequest(
                    "requests.jsonl:7",
                    "the endpoint refused the request (400): unknown field 'input': did you mean inputs?",
                    refused=True,
                    location="request 1; the failure as it came is at s3://b/failure/1",
                ),
            ),
        )
    ),
    "releases": screens.lines(
        results.Releases(
            "s3://b/models/svd/deployments/prod/",
            (
                replace(DEPLOYED, rolled_back_to="s3://b/models/svd/deployments/prod/20260101T020304000000Z.json"),
                replace(
                    DEPLOYED,
                    record="s3://b/models/svd/deployments/prod/20260101T020304000000Z.json",
                    promoted_from=Origin("dev", "s3://dev/svd/deployments/dev/20260101T020304000000Z.json"),
                ),
            ),
            ("s3://b/models/svd/deployments/prod/20260101T030405000000Z.json",),
            DEPLOYED.config,
        )
    ),
    "releases, none": screens.lines(results.Releases("s3://b/models/svd/deployments/prod/", (), ())),
    "wake": screens.lines(results.Woken("svd", 1, changed=True, sleeps_again=True)),
    "wake, nothing to do": screens.lines(results.Woken("svd", 2, changed=False, sleeps_again=False)),
    "sleep": screens.lines(results.Asleep("svd", changed=True, queued=0)),
    "sleep, busy": screens.lines(results.Asleep("svd", changed=True, queued=3)),
    "sleep, nothing to do": screens.lines(results.Asleep("svd", changed=False, queued=0)),
    "diff": screens.lines(
        results.Diff(
            SIDE,
            results.ComparedSide("tree", None, None, COMMIT, True, f"sha256:{DIGEST}", None, None, None),
            files=(
                results.FileDifference(UNET, 5_250_000, 10_500_000),
                results.FileDifference("code/handler_images.py", None, 2048),
                results.FileDifference("code/inference.py", 7600, 7600),
                results.FileDifference("LICENSE.md", 94, None),
            ),
            requirements=(
                results.ValueDifference("einops", "0.8.0", "0.8.1"),
                results.ValueDifference("imageio", "none", "2.37.0"),
            ),
            image=results.ValueDifference("image", IMAGE.format("1a" * 32), IMAGE.format("2b" * 32)),
            settings=(
                results.ValueDifference("endpoint.instance_type", "ml.g5.2xlarge", "ml.g5.4xlarge"),
                results.ValueDifference("environment.API", "(not shown)", "none"),
                results.ValueDifference("environment.HF_HUB_OFFLINE", "none", "there"),
                results.ValueDifference("alarm svd-has-backlog-without-capacity", "there", "none"),
            ),
        )
    ),
    "diff, nothing": screens.lines(results.Diff(SIDE, SIDE)),
    "diff, something unknown": screens.lines(
        results.Diff(SIDE, SIDE, not_compared=("settings: no record says what was declared for what serves",))
    ),
    "rollback": screens.lines(
        results.Rollback("svd", DEPLOYED.record, COMMIT, "svd-0123456789ab", "svd-cd5f3879bcb2", changes=CHANGES)
    ),
    "rollback, nothing to do": screens.lines(
        results.Rollback("svd", DEPLOYED.record, None, "svd-0123456789ab", "svd-cd5f3879bcb2", changes=())
    ),
    "destroy": screens.lines(
        results.Destroyed("svd", (results.Resource("endpoint", "svd"),), (KEPT_MODEL,), LEFT, 3.2, ("not known: no",))
    ),
    "destroy, nothing to do": screens.lines(results.Destroyed("svd", ())),
    "destroy, before": screens.lines(
        results.ToDestroy("svd", (results.Resource("endpoint", "svd"),), (KEPT_MODEL,), LEFT, ("a router uses it",))
    ),
    "destroy, before, nothing to do": screens.lines(results.ToDestroy("svd", (), (), (), ())),
    "doctor": screens.lines(
        results.Doctor(CHECKS, "s3://b/models", 24, (results.Upload("s3://b/models/x", "id", "2026-01-02T03:04:05Z"),))
    ),
    "gc": screens.lines(
        results.Collected(
            "s3://b/models", GARBAGE, 9_000_000_000, 0.21, (KEPT,), versions_stay=True, unknown=(), notes=()
        )
    ),
    "gc, dry run": screens.lines(
        results.Garbage("s3://b/models", GARBAGE, 9_000_000_000, None, (KEPT,), (), ("the price is not known: no",))
    ),
    "gc, not known": screens.lines(
        results.Garbage("s3://b/models", (), 0, 0, (), ("listing failed: AccessDenied: not authorized to do this",), ())
    ),
    "clean": screens.lines(results.Cleaned(("build/svd-local", "dist/svd/local"))),
    "sandbox.status": screens.lines(
        results.SandboxStatus(
            running=True, pid=7, hub="http://127.0.0.1:1", aws="http://127.0.0.1:2", log="build/sandbox/log"
        )
    ),
    "sandbox.add": screens.lines(results.SandboxModel("acme/sst2", COMMIT, "models/sst2")),
    "sandbox.stop": screens.lines(results.SandboxStopped(stopped=True)),
    "serve": screens.lines(
        results.Served(
            "inference_code/svd",
            ".venv-serve/bin/python",
            2.4,
            5.3,
            (results.ServedAnswer(0.29, 6572), results.ServedAnswer(0.26, 6572)),
            as_expected=True,
            files=FRAMES[:4],
            miniature=True,
        )
    ),
    "serve, without a sample": screens.lines(
        results.Served("release 2 of prod", "python", 2.4, 5.3, untried="the spec has no sample")
    ),
    "serve --watch": [
        *screens.kept(
            "http://127.0.0.1:20000", ["curl http://127.0.0.1:20000/invocations", "invoke predict"], watch=True
        ),
        *screens.edit(
            results.Edit(
                ("inference_code/svd/inference.py",),
                "the model was kept",
                0.112,
                results.ServedAnswer(0.57, 6572),
                log=("hello",),
            )
        ),
        *screens.edit(
            results.Edit(
                ("inference_code/svd/inference.py", "inference_code/svd/a.py", "b.py", "c.py"),
                "model_fn was called again: WEIGHTS of inference changed",
                61.2,
            )
        ),
        *screens.edit(
            results.Edit(
                ("inference_code/svd/inference.py",),
                "",
                0.1,
                error=(
                    "inference_code/svd/inference.py:152: the sample failed (400) in answered: KeyError: 'boo'",
                    "  | Traceback (most recent call last):",
                    "  correct the code",
                ),
                warnings=(
                    (
                        "inference_code/svd/inference.py:70:1: transform_fm is not a hook, so the container does not call it",
                        "  did you mean 'transform_fn'?",
                    ),
                ),
            )
        ),
    ],
    "report": screens.lines(
        results.Reported(
            "build/svd-prod/report.html",
            34000,
            1,
            "The last run (deploy) failed in the step deploy after 6.5 s, of which 5.7 s (88 %) went to the step deploy.",
            "endpoint svd: svd-0123456789ab failed its smoke test: request 1 of 2: CUDA out of memory",
            ("what AWS has of it: AWS account: there are no AWS credentials",),
        )
    ),
    "serve.install": screens.lines(results.ServingStack(".venv-serve/bin/python")),
    "an error": [problem("error", UserError(FOREIGN, where="deploy", fix="choose another endpoint.name").lines())],
    "a failed smoke test": [
        problem(
            "error",
            RemoteError(
                "svd-cd5f3879bcb2 failed its smoke test: request 2 of 2: the endpoint failed on the request (400): CUDA out of memory",
                where="endpoint svd",
                fix="load half precision (model.variant), or take an instance_type with more GPU memory; then deploy again",
                details=[
                    "| Traceback (most recent call last):",
                    '|   File "/opt/ml/model/code/inference.py", line 12, in predict_fn',
                    "|     frames = pipeline(image).frames",
                    "| torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.32 GiB. GPU 0 has a total capacity of 22.20 GiB",
                    "svd-d5f8db274983, which served before, was put back and serves again",
                ],
            ).lines(),
        )
    ],
    "errors of a spec": [problem("error", PROBLEMS.lines())],
    "a warning": [problem("warning", PROBLEMS.diagnostics[0].lines())],
}


def shown(blocks: list[Block], width: int) -> str:
    lines = Screen(width, glyphs="unicode", is_terminal=True).lines(blocks)
    return "".join(f"{plain(line)}\n" for line in lines)


@pytest.mark.parametrize("width", WIDTHS)
def test_screens_are_as_in_their_golden_files(width: int, golden: Golden) -> None:
    texts = [f"$ {name}\n{shown(blocks, width)}" for name, blocks in SCREENS.items()]
    golden.check({f"screens/{width}-columns.txt": "\n".join(texts)})


@pytest.mark.parametrize("name", SCREENS)
@pytest.mark.parametrize("width", [60, 80])
def test_only_what_is_copied_is_longer_than_the_terminal_is_wide(name: str, width: int) -> None:
    longer = [line for line in shown(SCREENS[name], width).splitlines() if len(line) > width]
    assert [line for line in longer if " " in line.strip().partition(" ")[2].strip()] == []
