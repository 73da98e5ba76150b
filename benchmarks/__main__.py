"""`python -m benchmarks [NAME ...] [--sizes 256M,1G,4G] [--runs 3]`: measure, and print tables of ratios.

Every module here that has a function `bench(folder, sizes, runs) -> str` (Markdown) is a benchmark by its own name.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import pkgutil
import tempfile
from pathlib import Path

import benchmarks
from benchmarks.models import parse_size

TOOLS = {"__main__", "bucket", "models", "projects", "timing"}


def main() -> None:
    """Run the benchmarks that were asked for, default all."""
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.name not in TOOLS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=(__doc__ or "").partition("\n")[0],
        epilog="\n".join(f"{name:10}{_first_line(name)}" for name in names),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which, of those below (default: all)")
    parser.add_argument("--sizes", default="256M,1G,4G", help="of the generated models (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each thing; the tables hold medians (default: 3)")
    parser.add_argument(
        "--folder", type=Path, help="where to work: needs four times the largest size (default: temporary)"
    )
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    sizes = [parse_size(text) for text in arguments.sizes.split(",")]
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} processors, medians of {arguments.runs} runs in turns, warm cache, load {load:.1f} before\n"
    )
    with tempfile.TemporaryDirectory(dir=arguments.folder, prefix="sagepack-bench-") as folder:
        for name in arguments.names or names:
            print(importlib.import_module(f"benchmarks.{name}").bench(Path(folder), sizes, arguments.runs), flush=True)


def _first_line(name: str) -> str:
    """What a benchmark says of itself; reading it is quicker than importing all."""
    source = Path(benchmarks.__path__[0], f"{name}.py").read_text()
    return (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]


if __name__ == "__main__":
    main()
