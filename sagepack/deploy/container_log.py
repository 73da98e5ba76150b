"""What a container's log tells of a failure. Pure.

The image's server writes much for each line of the handler's own: a prefix, what it does itself, and a second traceback of its
own around that of the handler. Lines of another server pass unchanged.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_LINES = 20
_AFTER = 3  # lines after a traceback: an exception's message may have several
# The layout of multi-model-server 1.1.11: time, level, thread, logger. The worker's output comes by threads of its own.
_LAYOUT = re.compile(r"\d{4}-\d\d-\d\d[ T][\d:.,]+ \[(?P<level>[A-Z]+) *\] (?P<thread>\S+) \S+ - ?(?P<text>.*)")
_WORKER = ("-stdout", "-stderr")
# What its worker and the toolkit 2.6.0 say in every run, and the bars of tqdm, which Hugging Face's libraries draw while they load.
_ROUTINE = re.compile(
    r"model_service_worker started|Listening on port: |\[PID\] ?\d+$|MMS worker started|Python runtime: |Connection accepted: |"
    r"Model model loaded|Inference script implementation found|`\w+` implementation found|No `\w+` implementation was found|"
    r"(?:Preprocess|Predict|Postprocess) time - |Please consider increase wait time|Frontend disconnected|"
    r".{0,80}?\d{1,3}%\|[^|]*\| \d+/\d+ \[|"
    r"\s*(?:\\t|\t)?at [\w.$]+\(|\s*(?:\\t|\t)?\.\.\. \d+ more"
)
_FRAME = '  File "'
_NOT_THE_HANDLERS = re.compile(
    r'  File "(?:<frozen importlib|[^"]*/(?:importlib|mms|sagemaker_huggingface_inference_toolkit)/|[^"]*/handler/sagepack_reloading\.py")'
)
_TRACEBACK = "Traceback (most recent call last):"
_CHAINED = ("During handling of the above exception", "The above exception was the direct cause")


def telling(lines: Sequence[str]) -> list[str]:
    """The lines of a log that tell why a request failed, oldest first, at most `MOST_LINES`; none if the handler wrote none.

    The newest traceback with those that led to it, less the frames of the server; the newest lines of the handler where there is
    none, or so much came after it that it tells of something else.
    """
    said = _without_the_servers_frames(_together(_spoken(lines)))
    found = _newest_traceback(said)
    if not found or len(said) - found.stop > MOST_LINES:
        return said[-MOST_LINES:]
    return _bounded(said[found.start : found.stop + _AFTER])


def said(lines: Sequence[str]) -> list[str]:
    """What the handler itself wrote, oldest first, without the server's prefix."""
    return [text for _, text in _spoken(lines)]


def has_traceback(lines: Iterable[str]) -> bool:
    """Whether a log has a traceback of Python."""
    return any(line.endswith(_TRACEBACK) for line in lines)


def _spoken(lines: Sequence[str]) -> list[tuple[str, str]]:
    """What the handler wrote, and the errors of the server, without the prefix of the server's layout: (thread, text)."""
    parsed = [(line, _LAYOUT.fullmatch(line)) for line in lines]
    # Without any such line the server has not started: what pip and the toolkit wrote is all there is.
    kept, spoken, thread = not any(match for _, match in parsed), [], ""
    for line, match in parsed:
        text, is_kept = line, kept
        if match:
            text, thread, kept = match["text"], match["thread"], match["level"] == "ERROR"
            is_kept = kept or thread.endswith(_WORKER)
        if is_kept and text.strip() and not _ROUTINE.match(text):
            spoken.append((thread, text.rstrip()))
    return spoken


def _together(spoken: Iterable[tuple[str, str]]) -> list[str]:
    """The texts, and after the beginning of a traceback the rest of what its thread wrote: threads write at the same time."""
    blocks: list[list[str]] = []
    of_thread: dict[str, list[str]] = {}
    for thread, text in spoken:
        block = of_thread.get(thread)
        begins = text == _TRACEBACK and not (block and block[-1].startswith(_CHAINED))
        if block is None or begins:
            block = []
            blocks.append(block)
        if begins:
            of_thread[thread] = block
        block.append(text)
    return [text for block in blocks for text in block]


def _without_the_servers_frames(lines: Iterable[str]) -> list[str]:
    """Tracebacks without the frames of the server and of the import system; without those that have no others.

    These are the exceptions of the server: one repeats the message of the handler's, others follow the end of a worker.
    """
    found: list[str] = []
    dropped, dropping = 0, False
    for line in lines:
        if line.startswith(_FRAME):
            dropping = bool(_NOT_THE_HANDLERS.match(line))
            dropped += dropping
        elif not line.startswith("    "):
            dropping = False
        if dropping:
            continue
        if dropped and found[-1:] == [_TRACEBACK] and not line.startswith(" "):
            found.pop()
            if found and found[-1].startswith(_CHAINED):
                found.pop()
        else:
            found.append(line)
        if not line.startswith(" "):
            dropped = 0
    return found


def _newest_traceback(lines: Sequence[str]) -> range:
    """Where the newest traceback is, with those that led to it, up to the exception; empty without one."""
    begins = [at for at, line in enumerate(lines) if line == _TRACEBACK]
    if not begins:
        return range(0)
    last = begins[-1]
    end = next((at for at in range(last + 1, len(lines)) if not lines[at].startswith(" ")), len(lines) - 1)
    while len(begins) > 1 and lines[begins[-1] - 1].startswith(_CHAINED):
        begins.pop()
    return range(begins[-1], end + 1)


def _bounded(lines: list[str]) -> list[str]:
    """The first lines and the last ones, which name the exception."""
    if len(lines) <= MOST_LINES:
        return lines
    last = MOST_LINES * 3 // 4
    first = MOST_LINES - last - 1
    return [*lines[:first], f"... {len(lines) - first - last} lines", *lines[-last:]]
