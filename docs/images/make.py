"""Makes the pictures of README.md from what the commands really print: `make pictures`.

The commands run in a project of their own, a copy of this one, against the sandbox, on a terminal of a fixed width. What the terminal
shows at the end becomes an SVG, and Chromium (`apt-get install chromium`) draws the page of `report`. Endpoints of the sandbox answer
under the serving stack: `make serve-venv`, or `SAGEPACK_SERVE_PYTHON`.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import termios
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
COLUMNS = 96
REPORT_SIZE = (820, 1120)  # pixels of the page that are shown: as wide as it gets at a desk, without more margin
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# GitHub shows an SVG without the fonts that it names by URL; each run of text has its length, so that any monospace font fits.
_FONTS = 'ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace'
_SVG = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: FONTS; font-size: {char_height}px; line-height: {line_height}px; }}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
""".replace("FONTS", _FONTS)
# Those of GitHub's dark theme: 4.5:1 against the background or more, dimmed ones included.
_THEME = TerminalTheme(
    (22, 27, 34),
    (230, 237, 243),
    [
        *((72, 79, 88), (255, 123, 114), (63, 185, 80), (210, 153, 34)),
        *((88, 166, 255), (188, 140, 255), (57, 197, 207), (177, 186, 196)),
    ],
)
_CONTROL = re.compile(r"(\r\n|\r|\x1b\[\d*A|\x1b\[J)")


class Sandboxed:
    """A copy of this project, whose sandbox is its own.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.root = folder / "sagepack"
        self.root.mkdir()
        for name in ("config", "inference_code"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("tasks.py", "Makefile", "requirements.lock"):
            shutil.copyfile(ROOT / name, self.root / name)
        os.utime(self.root / "requirements.lock", (0, 0))  # older than what is installed
        (self.root / ".venv").symlink_to((ROOT / ".venv").resolve())
        (self.root / ".gitignore").write_text("build/\ndist/\n.venv\n.venv-serve\n__pycache__/\n")
        kept = {
            key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_", "MAKE", "NO_COLOR"))
        }
        serving = os.environ.get("SAGEPACK_SERVE_PYTHON") or str(ROOT / ".venv-serve" / "bin" / "python")
        if not Path(serving).exists():
            sys.exit(f"{serving} is missing: run `make serve-venv` first")
        ours = {"HOME": str(folder), "TERM": "xterm-256color", "LC_ALL": "C.UTF-8", "PYTHONPATH": str(ROOT)}
        when = {"GIT_AUTHOR_DATE": "2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE": "2026-01-01T00:00:00Z"}
        self._environment = {**kept, **ours, **when, "SAGEPACK_SERVE_PYTHON": serving}
        self.terminal(
            "git init -q -b main && git add -A && git -c user.name=a -c user.email=a@example.com commit -qm a"
        )

    def terminal(self, command: str) -> list[str]:
        """Run a command on a terminal, and return the lines that it shows at the end.

        Raises:
            CalledProcessError: it failed.
        """
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        with subprocess.Popen(
            ["/bin/sh", "-c", command],
            cwd=self.root,
            env=self._environment,
            stdin=follower,
            stdout=follower,
            stderr=follower,
            start_new_session=True,
        ) as process:
            os.close(follower)
            output = b"".join(_pieces(leader))
        os.close(leader)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command, output)
        return settled(output.decode())


def _pieces(descriptor: int) -> Iterator[bytes]:
    with suppress(OSError):  # Linux's end of a terminal
        while piece := os.read(descriptor, 1 << 16):
            yield piece


def settled(output: str) -> list[str]:
    """The lines that a terminal shows once a program has ended that draws over what it drew before, as `cli.region` does.

    Args:
        output: text with ends of lines, returns of the cursor, moves upwards, erasures of what follows, and colours.
    """
    lines, row = [""], 0
    for piece in _CONTROL.split(output):
        if piece == "\r\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif piece.endswith("A") and piece.startswith("\x1b["):
            row -= int(piece[2:-1] or 1)
        elif piece == "\x1b[J":
            lines[row:] = [""]
        elif piece != "\r":
            lines[row] += piece
    return lines[:-1] if not lines[-1] else lines


def draw(name: str, title: str, commands: Sequence[tuple[str, list[str]]]) -> None:
    """Write the picture of a terminal with some commands and what they printed."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True, color_system="truecolor")
        for number, (command, lines) in enumerate(commands):
            if number:
                console.print()
            console.print(Text.assemble(("$ ", "green"), (command, "bold")), soft_wrap=True)
            for line in lines:
                text = Text.from_ansi(line)
                for part in text.divide(range(COLUMNS, len(text), COLUMNS)):  # as a terminal goes on in the next line
                    console.print(part, soft_wrap=True)
        svg = console.export_svg(title=title, theme=_THEME, code_format=_SVG, unique_id=name)
    (IMAGES / f"{name}.svg").write_text(svg)


def photograph(page: Path, name: str, size: tuple[int, int]) -> None:
    """Write the picture of the top of a page, as Chromium shows it."""
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        sys.exit("Chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as profile:
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}"]
        shot = [f"--window-size={size[0]},{size[1]}", f"--screenshot={IMAGES / name}.png"]
        subprocess.run([browser, *flags, *shot, page.as_uri()], check=True, capture_output=True, timeout=120)


@contextmanager
def sandboxed() -> Iterator[Sandboxed]:
    """A project of its own, until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="pictures-") as folder:
        project = Sandboxed(Path(folder))
        try:
            project.terminal("make sandbox-env")  # starts it, which takes longer than what is shown
            yield project
        finally:
            project.terminal("make sandbox-stop")


def main() -> None:
    """Make all pictures."""
    with sandboxed() as project:
        edit = "echo '# a new line' >> inference_code/svd/inference.py"
        commands = ["make package", "make upload", edit, "make upload"]
        draw(
            "terminal",
            "a first upload, and one after an edit of the code",
            [(each, project.terminal(each)) for each in commands],
        )
    with sandboxed() as project:
        project.terminal("make deploy")
        draw("status", "what serves now", [("make status", project.terminal("make status"))])
        project.terminal("make report")
        photograph(project.root / "build" / "svd-local" / "report.html", "report", REPORT_SIZE)


if __name__ == "__main__":
    main()
