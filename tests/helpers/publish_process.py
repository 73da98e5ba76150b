"""A publisher in a process of its own, which can be killed: `python -m tests.helpers.publish_process URL BUCKET FOLDER JOURNALS`.

With a number after these, so many processes make units of 10 MiB or one file.
The sandbox's keys stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AwsConnection
from sagepack.engine.clients import Connections
from sagepack.engine.unit import unit
from sagepack.engine.unit_pool import processes
from sagepack.engine.worker_check import Demand
from sagepack.publish.observe import observe
from sagepack.publish.planner import plan_upload
from sagepack.publish.upload.context import UnitWorkers
from sagepack.publish.upload.unit_text import Services
from tests.helpers.publishing import LIMITS, Bucket, MiB, Tree, connect


def main(url: str, bucket: str, folder: str, journals: str, count: str = "") -> None:
    """Publish the files below `folder` as `svd` under `models`."""
    root = Path(folder)
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    keys = SimpleNamespace(access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
    here, tree = Bucket(connect(url, keys), S3Uri(bucket, "models"), Path(journals)), Tree(root, files)
    if not count:
        here.publish(tree, workers=2)
        return
    aws = AwsConnection("us-east-1", None, url, keys.access_key, keys.secret_key)
    pool = processes(int(count), Connections(aws))
    model = {m.digest: root / m.path for m in tree.manifest.members if not m.path.startswith("code/")}
    services = Services(region="us-east-1", bucket=bucket)
    executor = partial(pool.executor, Demand(services, str(here.package(tree).model_uri), None, 10 * MiB))
    units = UnitWorkers(executor, unit, services, {}, model, pool.count)
    seen = observe(here.store, here.package(tree), tree.manifest, limits=LIMITS)
    plan = plan_upload(seen, tree.manifest, replace(LIMITS, unit_size=10 * MiB), units.readable)
    here.publish(tree, plan, units=units)


if __name__ == "__main__":
    main(*sys.argv[1:])
