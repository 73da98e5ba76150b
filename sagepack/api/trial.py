"""What a package that runs on this machine is sent: a request of the user's, or the sample as the smoke test sends it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from sagepack.deploy import exchange, smoke

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sagepack.deploy.expectation import Expectation
    from sagepack.engine.context import BuildContext


class Trial(NamedTuple):
    """What a package is sent.

    Attributes:
        request: the request.
        times: how often.
        expectation: what each answer must be; None if nothing is known of that.
    """

    request: exchange.Prepared
    times: int
    expectation: Expectation | None

    @classmethod
    def of(
        cls,
        context: BuildContext,
        source: exchange.Source,
        accept: str | None,
        output: Path | None,
        fields: Mapping[str, Any] | None,
    ) -> Trial | str:
        """A request of the user's, or the sample of the spec as the smoke test sends it; else why there is none.

        Arguments as those of `exchange.prepare`.

        Raises:
            UserError: it cannot be read, or is not what the endpoint takes.
        """
        spec, root = context.spec, context.work.root
        is_other = exchange.accepted(spec, root, accept, output) != exchange.accepted(spec, root)
        if source is not None or fields or is_other:
            own = exchange.prepare(spec, root, source, accept=accept, output=output, fields=fields)
            if own.note:
                context.progress.note(own.note)
            return cls(own, 1, None)
        sample = smoke.Sample.of(spec, root)
        if sample is None:
            return "the spec has no sample"
        if not spec.smoke:
            return "the spec says smoke: false"
        return cls(
            exchange.Prepared(sample.body, sample.content_type, sample.accept), smoke.REQUESTS, sample.expectation
        )
