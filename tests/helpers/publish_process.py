"""A publisher in a process of its own, which can be killed: `python -m tests.helpers.publish_process URL BUCKET FOLDER JOURNALS`.

The sandbox's keys stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace

from sagepack.aws.s3 import S3Uri
from tests.helpers.publishing import Bucket, Tree, connect


def main(url: str, bucket: str, folder: str, journals: str) -> None:
    """Publish the files below `folder` as `svd` under `models`."""
    root = Path(folder)
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    keys = SimpleNamespace(access_key=os.environ["AWS_ACCESS_KEY_ID"], secret_key=os.environ["AWS_SECRET_ACCESS_KEY"])
    Bucket(connect(url, keys), S3Uri(bucket, "models"), Path(journals)).publish(Tree(root, files), workers=2)


if __name__ == "__main__":
    main(*sys.argv[1:])
