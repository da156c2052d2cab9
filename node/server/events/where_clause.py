"""Where clauses of event filters: checked once, then evaluated for each event (OPC 10000-4 section 7.7).

A clause is compiled into one step per element. Elements refer only to later ones, so one pass from the last to the
first evaluates each once, however often it is referred to.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.values import status_code
from node.server.events.conversion import INTEGERS, as_text, convert, same_type
from node.server.events.event import Event
from node.server.events.event_types import EventTypes
from node.server.events.like import like
from node.server.events.operands import Operand, OperandRefused, operand_of

_F: Final = ua.FilterOperator
_T: Final = ua.VariantType
_LONGEST_TEXT: Final = 4_096  # characters that Like looks at; longer texts and patterns fit nothing

# Gets the values of an element's operands; None is NULL.
_Values = Sequence["ua.Variant | None"]
_Operator = Callable[[_Values], "ua.Variant | None"]

TRUE: Final = ua.Variant(True, _T.Boolean)
FALSE: Final = ua.Variant(False, _T.Boolean)


class WhereRefused(Exception):
    """A where clause that cannot be evaluated; `result` says which element is wrong and why."""

    def __init__(self, result: ua.ContentFilterResult) -> None:
        super().__init__("a where clause that cannot be evaluated")
        self.result = result


@dataclass(frozen=True, slots=True)
class _Step:
    """One element: what to do with the values of which operands."""

    operator: _Operator | None  # None: whether the event is of a type
    operands: tuple[Operand, ...]


class Where:
    """A compiled where clause. Raises WhereRefused for one that is wrong."""

    def __init__(self, clause: ua.ContentFilter, types: EventTypes) -> None:
        elements = clause.Elements or ()
        results = [_check(element, at, len(elements), types) for at, element in enumerate(elements)]
        if any(isinstance(each, ua.ContentFilterElementResult) for each in results):
            good = ua.ContentFilterElementResult()
            refused: Any = ua.ContentFilterResult()
            refused.ElementResults = [
                each if isinstance(each, ua.ContentFilterElementResult) else good for each in results
            ]
            raise WhereRefused(refused)
        self._steps = [each for each in results if isinstance(each, _Step)]

    def fits(self, event: Event) -> bool:
        """Whether an event is wanted; NULL is no."""
        if not self._steps:
            return True
        values: list[ua.Variant | None] = [None] * len(self._steps)
        for at in range(len(self._steps) - 1, -1, -1):
            step = self._steps[at]
            found = [operand.value(event, values) for operand in step.operands]
            values[at] = _of_type(event, found) if step.operator is None else step.operator(found)
        return _truth(values[0]) is True


def _check(
    element: ua.ContentFilterElement, at: int, count: int, types: EventTypes
) -> _Step | ua.ContentFilterElementResult:
    """The step of an element, or what is wrong with it."""
    given = element.FilterOperands or ()
    if element.FilterOperator not in _OPERANDS:
        return _wrong(ua.StatusCodes.BadFilterOperatorUnsupported)
    fewest, most = _OPERANDS[element.FilterOperator]
    if len(given) < fewest or (most is not None and len(given) > most):
        return _wrong(ua.StatusCodes.BadFilterOperandCountMismatch)
    operands: list[Operand] = []
    statuses: list[int] = []
    for each in given:
        try:
            operands.append(operand_of(each, at, count, types))
            statuses.append(0)
        except OperandRefused as error:
            statuses.append(error.status)
    if not any(statuses) and element.FilterOperator == _F.OfType:
        statuses[0] = _type_fault(operands[0], types)
    if any(statuses):
        return _wrong(ua.StatusCodes.BadFilterOperandInvalid, statuses)
    return _Step(_OPERATORS.get(element.FilterOperator), tuple(operands))


def _wrong(status: int, operands: Sequence[int] = ()) -> ua.ContentFilterElementResult:
    result: Any = ua.ContentFilterElementResult(status_code(status))
    result.OperandStatusCodes = [status_code(each) for each in operands]
    return result  # type: ignore[no-any-return]


def _type_fault(operand: Operand, types: EventTypes) -> int:
    literal = operand.literal
    wanted = None if literal is None else convert(literal, _T.NodeId)
    if wanted is None:
        return ua.StatusCodes.BadFilterLiteralInvalid
    if types.line(wanted.Value):
        return 0
    return ua.StatusCodes.BadTypeDefinitionInvalid if types.exists(wanted.Value) else ua.StatusCodes.BadNodeIdUnknown


# --- operators: Booleans of three values, NULL when an operand is


def _truth(value: ua.Variant | None) -> bool | None:
    found = None if value is None else convert(value, _T.Boolean)
    return None if found is None else bool(found.Value)


def _boolean(value: bool | None) -> ua.Variant | None:
    return None if value is None else TRUE if value else FALSE


def _of_type(event: Event, values: _Values) -> ua.Variant:
    wanted = None if values[0] is None else convert(values[0], _T.NodeId)
    return TRUE if wanted is not None and wanted.Value in event.line else FALSE


def _not(values: _Values) -> ua.Variant | None:
    found = _truth(values[0])
    return None if found is None else _boolean(not found)


def _and(values: _Values) -> ua.Variant | None:
    truths = [_truth(each) for each in values]
    return FALSE if False in truths else None if None in truths else TRUE


def _or(values: _Values) -> ua.Variant | None:
    truths = [_truth(each) for each in values]
    return TRUE if True in truths else None if None in truths else FALSE


def _compared(first: ua.Variant | None, second: ua.Variant | None, compare: Callable[[Any, Any], Any]) -> bool | None:
    """NULL when one of them is; False when they cannot be compared."""
    if first is None or second is None or first.Value is None or second.Value is None:
        return None
    pair = same_type(first, second)
    if pair is None:
        return False
    try:
        return bool(compare(*pair))
    except TypeError:  # no order between such values
        return False


def _comparison(compare: Callable[[Any, Any], Any]) -> _Operator:
    return lambda values: _boolean(_compared(values[0], values[1], compare))


def _between(values: _Values) -> ua.Variant | None:
    low = _compared(values[0], values[1], operator.ge)
    high = _compared(values[0], values[2], operator.le)
    return FALSE if False in (low, high) else None if None in (low, high) else TRUE


def _in_list(values: _Values) -> ua.Variant | None:
    found = [_compared(values[0], each, operator.eq) for each in values[1:]]
    return TRUE if True in found else None if None in found else FALSE


def _like(values: _Values) -> ua.Variant | None:
    if values[0] is None or values[1] is None:
        return None
    text, pattern = as_text(values[0].Value), as_text(values[1].Value)
    if text is None or pattern is None:
        return None
    return _boolean(max(len(text), len(pattern)) <= _LONGEST_TEXT and like(text, pattern))


def _cast(values: _Values) -> ua.Variant | None:
    target = None if values[1] is None else convert(values[1], _T.NodeId)
    if values[0] is None or target is None or target.Value.NamespaceIndex:
        return None
    try:
        kind = ua.VariantType(target.Value.Identifier)
    except ValueError:
        return None
    return convert(values[0], kind)


def _bitwise(combine: Callable[[int, int], int]) -> _Operator:
    def combined(values: _Values) -> ua.Variant | None:
        first, second = values[0], values[1]
        if first is None or second is None or {first.VariantType, second.VariantType} - INTEGERS.keys():
            return None
        pair = same_type(first, second)
        if pair is None or not all(isinstance(each, int) for each in pair):
            return None
        widest = max(first.VariantType, second.VariantType)
        return convert(ua.Variant(combine(*pair), _T.Int64), widest)

    return combined


_OPERATORS: Final[dict[ua.FilterOperator, _Operator]] = {
    _F.Equals: _comparison(operator.eq),
    _F.IsNull: lambda values: _boolean(values[0] is None or values[0].Value is None),
    _F.GreaterThan: _comparison(operator.gt),
    _F.LessThan: _comparison(operator.lt),
    _F.GreaterThanOrEqual: _comparison(operator.ge),
    _F.LessThanOrEqual: _comparison(operator.le),
    _F.Like: _like,
    _F.Not: _not,
    _F.Between: _between,
    _F.InList: _in_list,
    _F.And: _and,
    _F.Or: _or,
    _F.Cast: _cast,
    _F.BitwiseAnd: _bitwise(operator.and_),
    _F.BitwiseOr: _bitwise(operator.or_),
}
# Number of operands of each: fewest and most. What is not here is not done: there are no views and no relations.
_OPERANDS: Final[dict[ua.FilterOperator, tuple[int, int | None]]] = {
    **dict.fromkeys(_OPERATORS, (2, 2)),
    _F.IsNull: (1, 1),
    _F.Not: (1, 1),
    _F.OfType: (1, 1),
    _F.Between: (3, 3),
    _F.InList: (2, None),
}
