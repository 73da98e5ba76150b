"""Where things are in this repository."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SCHEMAS = ROOT / "sagepack" / "schemas"
DATA = ROOT / "tests" / "data"
