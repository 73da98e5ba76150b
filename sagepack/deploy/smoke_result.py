"""What came of the smoke test of a release. A value of its own, since results are imported by every run."""

from __future__ import annotations

from sagepack.decoding import Text, Value


class Smoke(Value, frozen=True):
    """What came of the smoke test.

    Attributes:
        passed: whether every request was answered as expected; false where none was sent.
        seconds: how long each answer took.
        reason: why no request was sent; null if the test passed.
    """

    passed: bool
    seconds: tuple[float, ...] = ()
    reason: Text | None = None

    @property
    def summary(self) -> str:
        """For people: `passed, in 12.3 and 4.5 s`, or `skipped: the spec has no sample`."""
        if not self.passed:
            return f"skipped: {self.reason}"
        return f"passed, in {' and '.join(f'{each:.1f}' for each in self.seconds)} s"
