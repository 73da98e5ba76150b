"""Results of the tasks that run a package on this machine."""

from __future__ import annotations

from sagepack.api.results.base import Result
from sagepack.decoding import Value


class ServedAnswer(Value, frozen=True):
    """An answer of a package that runs on this machine.

    Attributes:
        seconds: from sending the request to the answer.
        size: bytes of the answer.
    """

    seconds: float
    size: int


class Served(Result, frozen=True):
    """A package ran on this machine, and answered what it was sent.

    Attributes:
        package: what was served: a folder of code, an archive, an address or a release.
        stack: the interpreter of the serving stack, or the image.
        start_seconds: until the server responded.
        load_seconds: from then until `model_fn` had returned or failed.
        answers: one for each request.
        as_expected: whether the answers were held against `sample.expect`; false for a request of one's own.
        untried: why no request was sent; null if one was. Without one nothing is known of the package.
        files: where the first answer was written.
        text: the answer itself, if it is JSON or other text and short; null otherwise.
        miniature: whether it is a miniature of the sandbox with random weights.
    """

    package: str
    stack: str
    start_seconds: float
    load_seconds: float
    answers: tuple[ServedAnswer, ...] = ()
    as_expected: bool = False
    untried: str | None = None
    files: tuple[str, ...] = ()
    text: str | None = None
    miniature: bool = False


class Edit(Value, frozen=True):
    """What came of an edit of the code of a package that is served.

    Attributes:
        files: the files that changed.
        model: what became of the model, in words: it was kept, or why it was loaded again.
        seconds: from the moment when the edit was seen until the code served.
        answer: of the sample; null if none was sent, or the edit failed.
        error: what is wrong with it, as lines: the code from before goes on to serve. Empty if it serves.
        log: what the code wrote to its log meanwhile.
        warnings: what the static checks say of the code, as lines, that is no reason to refuse it.
    """

    files: tuple[str, ...]
    model: str
    seconds: float
    answer: ServedAnswer | None = None
    error: tuple[str, ...] = ()
    log: tuple[str, ...] = ()
    warnings: tuple[tuple[str, ...], ...] = ()
