"""Read of points, from request bytes to answer bytes (OPC 10000-4 section 5.10.2)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from asyncua import ua

from node.roles import Role
from node.server.fast.layout import COUNT
from node.server.fast.points import Form, Plan, Points
from node.server.limits import Limits
from node.server.reading import stamps

_PARAMETERS: Final = Struct("<dii")  # MaxAge, TimestampsToReturn, number of nodes
_NO_DIAGNOSTICS: Final = COUNT.pack(0)
# Lists of nodes that are kept because clients read the same ones again and again, and their bytes at most.
_PLANS: Final = 256
_PLANS_BYTES: Final = 2_000_000


class FastRead:
    """Answers reads of nothing but Values of points."""

    def __init__(self, points: Points, limits: Limits) -> None:
        self._points = points
        self._most = limits.operations
        self._plans: dict[bytes, Plan] = {}
        self._bytes = 0
        self._forms = {
            int(choice): Form(stamps(choice)) for choice in ua.TimestampsToReturn if choice.name != "Invalid"
        }

    def answer(self, data: bytes, at: int, role: Role, now: int) -> bytes | None:
        """What follows the header of the response; None when the ordinary way has to answer.

        `data` ends with the request, whose parameters begin at `at`. Raises struct.error, IndexError, ValueError for
        bytes that are no request.
        """
        max_age, wanted, count = _PARAMETERS.unpack_from(data, at)
        form = self._forms.get(wanted)
        # The image always has the newest sample, whatever age a client takes; NaN is no age.
        if form is None or not max_age >= 0 or not 0 < count <= self._most:
            return None
        key = data[at + _PARAMETERS.size - COUNT.size :]
        plan = self._plans.get(key)
        if plan is None:
            plan = self._points.plan(key, COUNT.size, count)
            if plan is None:
                return None
            if count > 1:
                self._keep(key, plan)
        packed = self._points.pack(plan, form, role, now)
        return COUNT.pack(count) + b"".join(packed) + _NO_DIAGNOSTICS

    def _keep(self, key: bytes, plan: Plan) -> None:
        self._bytes += len(key)
        if len(self._plans) >= _PLANS or self._bytes > _PLANS_BYTES:
            self._plans.clear()
            self._bytes = len(key)
        self._plans[key] = plan
