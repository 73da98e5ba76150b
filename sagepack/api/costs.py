"""What things cost by AWS's list prices, for results. In the sandbox nothing costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.prices import GIGABYTE, Prices

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext


class Costs:
    """The costs of what belongs to a spec, in US dollars; None where a price is not known."""

    def __init__(self, context: BuildContext) -> None:
        self._spec = context.spec
        self._prices = Prices(context.clients.aws, context.work.prices_path)

    @property
    def notes(self) -> tuple[str, ...]:
        """Why a price is not known; empty if all are."""
        return (f"the price is not known: {self._prices.problem}",) if self._prices.problem else ()

    def stored(self, size: int) -> float | None:
        """What a month of some bytes in S3 costs, in the storage class of the spec."""
        return self._month(size, self._prices.gigabyte_month(self._spec.artifact.storage_class) if self._asks else 0)

    def standard(self, size: int) -> float | None:
        """What a month of some bytes in S3 costs that others wrote, in the storage class STANDARD."""
        return self._month(size, self._prices.gigabyte_month() if self._asks else 0)

    def logged(self, size: int) -> float | None:
        """What a month of some bytes in CloudWatch Logs costs."""
        return self._month(size, self._prices.log_gigabyte_month() if self._asks else 0)

    def running(self, instance_type: str, count: int) -> float | None:
        """What an hour of so many instances of a type costs; nobody is asked what none of them cost."""
        price = self._prices.hour(instance_type) if count and self._asks else 0.0
        return None if price is None else price * count

    @property
    def _asks(self) -> bool:
        return not self._spec.sandbox

    @staticmethod
    def _month(size: int, price: float | None) -> float | None:
        return None if price is None else size / GIGABYTE * price


def total(costs: list[float | None]) -> float | None:
    """The sum; None if one of them is not known."""
    known = [cost for cost in costs if cost is not None]
    return sum(known) if len(known) == len(costs) else None
