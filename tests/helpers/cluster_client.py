"""`sagepack` with small units, so that a small model has several: `python -m tests.helpers.cluster_client upload ...`.

AWS, the Hub and what is theirs stand in the environment, as for the real program. SAGEPACK_TEST_WAIT is the seconds that are
waited for a worker.
"""

from __future__ import annotations

import os
from functools import partial

from sagepack.cli import interrupts, program
from sagepack.engine import cluster, publication
from sagepack.publish import planner
from sagepack.publish.delta.parts import Limits
from sagepack.publish.upload import leading

LIMITS = Limits(sent_size=10 << 20, unit_size=10 << 20)


def main() -> None:
    """Run the command line."""
    setattr(publication, "plan_upload", partial(planner.plan_upload, limits=LIMITS))  # noqa: B010
    setattr(cluster, "WAIT", float(os.environ.get("SAGEPACK_TEST_WAIT", "20")))  # noqa: B010
    setattr(cluster, "CONNECT", 3.0)  # noqa: B010
    setattr(cluster, "_LOOK", 0.2)  # noqa: B010
    setattr(leading, "LOOK", 0.5)  # noqa: B010
    interrupts.install()
    program.run()


if __name__ == "__main__":
    main()
