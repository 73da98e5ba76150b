"""Answers: which media type one gets, JSON, and the size that the server passes on. Plain Python, no package of the image.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

from handler_request import JSON, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

DEFAULT_MAX_SIZE = 6_553_500  # multi-model-server 1.1.11: a larger answer kills the worker


def accepted(accept: str | None, offered: Sequence[str]) -> str:
    """The media type of the answer.

    The server sends `Accept` back as the answer's `Content-Type`, whatever the answer is. So it must name one type exactly.

    Args:
        accept: the header. Absent or `*/*` means JSON, which the toolkit puts in their place before it calls a hook.
        offered: what the handler answers with.

    Raises:
        ValueError: the handler has no such answer.
    """
    if not accept or accept == "*/*":
        return JSON
    if accept.lower() in offered:
        return accept.lower()
    raise ValueError(f"Accept is {shown(accept)}; it must be one of {', '.join(offered)}, or */* for {JSON}")


def as_json(value: object) -> bytes:
    """A value as JSON without spaces.

    Raises:
        ValueError: a number in it is infinite or none, which JSON cannot say.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def within_limit(body: bytes) -> bytes:
    """The same answer, if the server passes it on; a larger one kills its worker, and the caller sees only `Worker died`.

    Raises:
        ValueError: it has more than MMS_MAX_RESPONSE_SIZE bytes.
    """
    text = os.environ.get("MMS_MAX_RESPONSE_SIZE", "")
    limit = int(text) if text.isdigit() else DEFAULT_MAX_SIZE
    if len(body) > limit:
        raise ValueError(
            f"the answer has {len(body):,} bytes and the server passes on {limit:,}: ask for less, or set "
            "MMS_MAX_RESPONSE_SIZE in the model's environment"
        )
    return body
