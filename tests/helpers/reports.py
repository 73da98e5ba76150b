"""Events of runs that never ran, and what a report is made from."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import msgspec

from sagepack.api import events, results
from sagepack.api.report import last_run
from sagepack.api.report.facts import Facts
from sagepack.deploy.smoke_result import Smoke
from sagepack.digest import Digest
from sagepack.engine.plan import Action
from sagepack.engine.steps import STEPS
from sagepack.errors import RemoteError
from sagepack.package.license import License
from sagepack.package.lock import Lock, LockedFile
from sagepack.package.manifest import Manifest, Member
from sagepack.package.revision import Revision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.events import Event
    from sagepack.api.report.last_run import LastRun

GIB, MIB = 1 << 30, 1 << 20
BEGUN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
NEEDS = {step.name: step.needs for step in STEPS}
ERROR = RemoteError(
    "the Hub did not answer", where="https://huggingface.co", fix="run `sagepack deploy` again", details=("a line",)
)


def at(seconds: float) -> datetime:
    """So many seconds after the run began."""
    return BEGUN + timedelta(seconds=seconds)


def happened(reason: str = "unet/model.safetensors not in the cache (4.2 GiB to fetch)") -> list[Event]:
    """The events of a run to `deploy`: 12.4 s, of which 9.1 s for the download."""
    actions = (
        Action("lock", "skip", ("the lock is up to date",)),
        Action("download", "run", (reason,), fetch=4 * GIB),
        Action("checksum", "run", ("download runs first",)),
        Action("upload", "run", ("the package is not in S3",), send=100 * MIB, copy=4 * GIB),
    )
    return [
        events.RunBegun(at(0), events.VERSION, "0.1.0", "deploy", "", "prod"),
        events.Warned(at(0.1), "config/svd.yaml:3", "model", "a warning", "mend it"),
        events.Planned(at(1), actions),
        events.StepBegun(at(1), "download", (reason,)),
        events.Noted(at(1.2), "download", "one file to fetch"),
        events.Noted(at(9.8), "download", "one file was fetched"),
        events.StepEnded(at(10.1), "download", True, 9.1, ("1 file, 4.2 GiB fetched",), 4 * GIB, None, None),
        events.StepBegun(at(10.1), "checksum", ("download runs first",)),
        events.StepEnded(at(10.2), "checksum", True, 0.1, ("18 files",), None, None, None),
        events.StepBegun(at(10.2), "upload", ("the package is not in S3",)),
        events.StepEnded(at(12.3), "upload", True, 2.1, ("100.0 MiB sent",), None, 100 * MIB, 4 * GIB),
        events.RunEnded(at(12.4), 0, 12.4, results.SpecReference("config/svd.yaml", "svd", "prod"), {}, None),
    ]


def lines(found: Sequence[Event]) -> list[bytes]:
    """The events as a run writes them, a line each."""
    return [msgspec.json.encode(event) + b"\n" for event in found]


def run(found: Sequence[Event] | None = None) -> LastRun:
    """The run of these events."""
    read = last_run.read(b"".join(lines(happened() if found is None else found)))
    assert read is not None
    return read


def lock(paths: Sequence[str], text: str = "") -> Lock:
    """A lock of these files."""
    digest = Digest.sha256(b"")
    return Lock(
        digest,
        Revision(f"owner/name{text}", "0" * 40),
        tuple(LockedFile(path, number * MIB, digest, "0" * 40) for number, path in enumerate(paths)),
        (0, 0),
        f"repository:tag{text}",
        digest,
        "registry",
        (f"numpy=={text}",),
        license=License(f"mit{text}"),
    )


def facts(files: int = 3, text: str = "", **more: Any) -> Facts:
    """All that may be known of a spec.

    Args:
        files: number of the files of its package.
        text: is in every text that comes from outside.
        more: attributes.
    """
    paths = [f"unet/a-longer-name-of-a-part-{number:05d}.safetensors" for number in range(files)]
    manifest = Manifest.of(
        Member(path, number * MIB + 1, Digest.sha256(path.encode())) for number, path in enumerate(paths)
    )
    deployed = results.Deployed(
        record=f"s3://bucket/{text}",
        time="2026-01-02T03:04:05Z",
        by=f"arn:aws:iam::123456789012:user/{text}",
        commit="0" * 40,
        clean=True,
        endpoint="svd",
        manifest=str(manifest.digest),
        package=f"s3://bucket/{text}",
        lock=str(manifest.digest),
        image=f"image{text}",
        model=f"model{text}",
        config="svd-0123",
        variables=(),
        settings={},
        smoke=Smoke(False, reason=f"no sample {text}"),
    )
    found: dict[str, Any] = {
        "config": f"config/svd.yaml{text}",
        "name": "svd",
        "env": "prod",
        "run": run(),
        "needs": NEEDS,
        "lock": lock(paths, text),
        "manifest": manifest,
        "address": f"s3://bucket/svd/{text}",
        "instance_type": "ml.g5.2xlarge",
        "endpoint": results.EndpointStatus(
            f"svd{text}",
            state="InService",
            since="2026-01-02T03:04:05Z",
            model=f"svd-0123{text}",
            manifest=str(manifest.digest),
            signature=results.ServedSignature(problem=f"the package of the endpoint is not signed {text}"),
            config="svd-0123",
            instance_type="ml.g5.2xlarge",
            instances=1,
            cost_per_hour=1.515,
            fewest_instances=0,
            most_instances=2,
            backlog=0,
            activity=results.ScalingActivity("2026-01-02T03:04:05Z", "Successful", f"one instance {text}"),
            alarms=(results.AlarmState(f"alarm{text}", "OK", True),),
            failures=(results.RequestFailure("2026-01-02T03:04:05Z", f"it failed {text}", "s3://bucket/failure"),),
        ),
        "releases": results.Releases("s3://bucket/releases", (deployed,), (), "svd-0123"),
        "published": results.VerifiedRemote(
            artifact="s3://bucket/svd",
            manifest=str(manifest.digest),
            release="s3://bucket/release",
            deep=False,
            files=files,
            size=manifest.size,
            requests=7,
            bytes_read=0,
            not_compared=(),
            signature=results.Signature(f"release.pem{text}", "00", BEGUN),
            builder=f"https://ci.example.com/{text}",
            commit="0" * 40,
            sbom=True,
        ),
        "wrong": f"it is not signed {text}",
        "month": 0.25,
        "unknown": (f"something {text}",),
    }
    return Facts(**{**found, **more})


def fleet(count: int, text: str = "") -> list[Facts]:
    """Facts of the specs of a fleet, as they are known without asking anybody."""
    return [
        Facts(
            f"config/model-{number:03d}.yaml",
            f"model-{number:03d}",
            "prod",
            run=run(),
            needs=NEEDS,
            lock=lock(["model.safetensors"], text),
            instance_type="ml.g5.2xlarge",
        )
        for number in range(count)
    ]
