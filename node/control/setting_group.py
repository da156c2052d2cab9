"""Several settings of one device at once: one read, one burst of writes, one read-back for all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from address_space.model import CommandResult, Outcome, Status, Value
from drivers.base import DriverError, Malformed, Priority, Rejected, Setting
from drivers.spec import SettingSpec
from node.control.conditions import describe
from node.control.execution import READ_BACK_EVERY_S, Execution, Superseded

# The device (or one block of it) said no: each setting is then asked for by itself, to know which.
_SAID_NO = (Rejected, Malformed)

Wanted = tuple[SettingSpec, Value]


class SettingGroup(Execution):
    """Writes settings together, and has a result for each of them by its point."""

    async def write(self, wanted: Sequence[Wanted]) -> Mapping[str, CommandResult]:
        """Write those that the device has differently, and read them back. Never raises for a device."""
        results: dict[str, CommandResult] = {}
        try:
            try:
                await self._together(wanted, results)
            except _SAID_NO:
                for spec, value in self._left(wanted, results):
                    alone = await self.setting(spec, value)
                    self._result(results, spec.point, alone.outcome, alone.status, alone.reason)
        except DriverError as error:
            self._all(wanted, results, Outcome.FAILED, error.status, str(error))
        except Superseded as later:
            ended = self._superseded(later)
            self._all(wanted, results, ended.outcome, ended.status, ended.reason)
        return results

    # --- steps

    async def _together(self, wanted: Sequence[Wanted], results: dict[str, CommandResult]) -> None:
        async with self._lock:
            self._check_superseded()
            await self._leave_out_equal(wanted, results, "the device has this value already")
            waiting = self._left(wanted, results)
            if not waiting:
                return
            self._check_superseded()
            burst = [Setting(spec.point, value) for spec, value in waiting]
            unanswered = await self._write(burst, Priority.COMMAND)
        for spec, _ in waiting:
            if not spec.readable:
                proof = self._unproven(unanswered, "written; the device does not let it be read back")
                self._result(results, spec.point, proof.outcome, proof.status, proof.reason)
        await self._read_all_back(waiting, unanswered, results)

    async def _leave_out_equal(self, wanted: Sequence[Wanted], results: dict[str, CommandResult], reason: str) -> None:
        """Read what has no result yet; what the device has as it is wanted is confirmed."""
        asked = [each for each in wanted if each[0].point not in results and each[0].readable]
        if not asked:
            return
        samples = await self._unless_superseded(self._read([spec.point for spec, _ in asked]))
        for spec, value in asked:
            if self._equals(spec, value, samples):
                self._result(results, spec.point, Outcome.CONFIRMED, Status.GOOD, reason)

    async def _read_all_back(
        self, wanted: Sequence[Wanted], unanswered: DriverError | None, results: dict[str, CommandResult]
    ) -> None:
        written = self._clock.monotonic()
        while True:
            lost: DriverError | None = None
            try:
                await self._leave_out_equal(wanted, results, "confirmed")
            except DriverError as error:
                lost = error
            late = self._clock.monotonic() + READ_BACK_EVERY_S - written
            for spec, _ in self._left(wanted, results):
                if late > spec.within_s:
                    ended = self._not_confirmed(spec, unanswered, lost)
                    self._result(results, spec.point, ended.outcome, ended.status, ended.reason)
            if not self._left(wanted, results):
                return
            await self._pause(READ_BACK_EVERY_S)

    # --- results

    def _left(self, wanted: Sequence[Wanted], results: Mapping[str, CommandResult]) -> list[Wanted]:
        return [each for each in wanted if each[0].point not in results]

    def _all(
        self, wanted: Sequence[Wanted], results: dict[str, CommandResult], outcome: Outcome, status: Status, reason: str
    ) -> None:
        for spec, _ in self._left(wanted, results):
            self._result(results, spec.point, outcome, status, reason)

    def _result(
        self, results: dict[str, CommandResult], point: str, outcome: Outcome, status: Status, reason: str
    ) -> None:
        """A result that says of its own point only what was observed."""
        sample = self._samples.get(point)
        observed = "" if sample is None else describe(self._device.model, {point: sample})
        elapsed_s = self._clock.monotonic() - self._started
        results[point] = CommandResult(outcome, status, observed, elapsed_s, reason)
