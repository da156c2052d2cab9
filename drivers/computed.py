"""Points computed from points of other devices: averages, totals, extremes.

Fewer Good inputs than asked for never look like all of them: the result is then UncertainSubNormal over the Good
ones, and with none it is Bad.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from address_space.model import Batch, Clock, Publisher, Sample, Status, Value, is_good
from drivers.health import ConnectionState
from drivers.spec import ComputedPoint, Function
from drivers.statistics import Counters, SystemPoints

_PERIOD_S = 0.5  # a total over devices that are polled each second needs no faster look


class Computed:
    """Computes the points of all computed devices of a site."""

    def __init__(self, points: Mapping[str, Sequence[ComputedPoint]], image: Publisher, clock: Clock) -> None:
        """`points` are by device id; raises KeyError for a point that the image does not have."""
        self._image = image
        self._clock = clock
        self._system = [SystemPoints(image, device) for device in points]
        self._rules = [
            (image.slot(device, rule.point), rule.function, [image.slot(*one) for one in rule.inputs])
            for device, rules in points.items()
            for rule in rules
        ]

    async def run(self) -> None:
        """Compute again and again, for as long as the node lives."""
        while self._rules:
            self.compute()
            await self._clock.sleep(_PERIOD_S)

    def compute(self) -> None:
        """Publish what is new: at the time of the newest input, or now when only a status has changed."""
        for system in self._system:
            # Nothing is asked and nothing can be lost on the way: a computed device is always there.
            facts = {**Counters().facts(), "connection": int(ConnectionState.ONLINE), "device_health": 0}
            system.publish(facts, self._clock.now())
        for slot, function, inputs in self._rules:
            samples = [self._image.sample(one) for one in inputs]
            value, status = combine(function, samples)
            newest = max(sample.ticks for sample in samples)
            last = self._image.sample(slot)
            if newest > last.ticks:
                self._image.publish(Batch([slot], [value], [status], newest))
            elif (value, status) != (last.value, last.status):
                # Nothing new was measured: an input was lost, and that was decided now.
                self._image.publish(Batch([slot], [value], [status], self._clock.now()))


def combine(function: Function, samples: Sequence[Sample]) -> tuple[Value | None, int]:
    """Value and status of a function over samples; only Good ones count."""
    good = [
        float(sample.value)
        for sample in samples
        if is_good(sample.status) and isinstance(sample.value, bool | int | float)
    ]
    if not good:
        return None, samples[0].status if samples[0].value is None else int(Status.BAD_NO_COMMUNICATION)
    status = Status.GOOD if len(good) == len(samples) else Status.UNCERTAIN_SUB_NORMAL
    match function:
        case Function.AVERAGE:
            return fmean(good), int(status)
        case Function.TOTAL:
            return sum(good), int(status)
        case Function.MINIMUM:
            return min(good), int(status)
        case Function.MAXIMUM:
            return max(good), int(status)
