"""The wheel holds what an installed program reads: schemas, the table of images, the marker of its types."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.helpers.paths import ROOT

pytestmark = pytest.mark.slow
CHECK = """
import sys
from pathlib import Path
import sagepack
from sagepack.spec import loader, validate
root = Path(sys.argv[1])
validate.check(loader.load(root / "config" / "svd.yaml", "local", (), root), root)
print(sagepack.__file__)
"""


def test_a_spec_is_checked_by_what_is_in_the_wheel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(tmp_path), str(ROOT)]
    subprocess.run(command, check=True, timeout=300)
    (wheel,) = tmp_path.glob("sagepack-*.whl")
    installed = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    assert (installed / "sagepack" / "py.typed").is_file()
    run = subprocess.run(
        [sys.executable, "-c", CHECK, str(ROOT)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert Path(run.stdout.strip()).is_relative_to(installed)
