"""Golden files: outputs that users and other programs rely on, kept in `tests/data/golden/` and compared whole.

`pytest --update-goldens` writes them instead; the difference in version control is then what a reviewer looks at.
"""

from __future__ import annotations

import difflib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.helpers.paths import DATA

if TYPE_CHECKING:
    from collections.abc import Mapping

GOLDEN = DATA / "golden"
_TIME = re.compile(r"\d{4}-?\d{2}-?\d{2}T\d{2}:?\d{2}:?\d{2}(?:\.\d+)?Z")
_PORT = re.compile(r"(127\.0\.0\.1|localhost):\d+")
_SECONDS = re.compile(r'("seconds": )\d[\d.e-]*')
_ETAG = re.compile(r'\\"[0-9a-f]{32}(?:-\d+)?\\"|"[0-9a-f]{32}(?:-\d+)?"')


@dataclass(frozen=True)
class Golden:
    """The golden files of a run of the tests.

    Attributes:
        update: write them instead of comparing.
        folder: where they are.
    """

    update: bool
    folder: Path = GOLDEN

    def check(self, outputs: Mapping[str, str]) -> None:
        """Compare each text of `outputs` with the golden file of its name.

        Raises:
            AssertionError: some differ, or have no golden file; the message has all differences.
        """
        wrong: list[str] = []
        for name, text in outputs.items():
            path = self.folder / name
            if self.update:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8")
            expected = path.read_text(encoding="utf-8") if path.exists() else ""
            before, after = expected.splitlines(keepends=True), text.splitlines(keepends=True)
            wrong += difflib.unified_diff(before, after, name, f"{name} now")
        assert not wrong, "".join([*wrong, "\nif this is intended, run pytest with --update-goldens"])


def normalized(text: str, root: Path | None = None) -> str:
    """`text` without what differs from run to run: times, durations, ports, ETags of the store, and the path of the project.

    Equal ETags stay equal: each becomes the number of its first appearance.

    Args:
        text: any text, such as a JSON document.
        root: the project's folder.
    """
    etags: dict[str, str] = {}

    def etag(match: re.Match[str]) -> str:
        quote = '\\"' if match[0].startswith("\\") else '"'
        return etags.setdefault(match[0], f"{quote}etag {len(etags) + 1}{quote}")

    if root is not None:
        text = text.replace(str(root), "<project>")
    text = _SECONDS.sub(r"\1<seconds>", text)
    return _ETAG.sub(etag, _PORT.sub(r"\1:<port>", _TIME.sub("<time>", text)))


def document(value: Any) -> str:
    """A JSON document as golden files have it."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"
