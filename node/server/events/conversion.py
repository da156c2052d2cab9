"""Conversions between built-in types as filters of events do them (OPC 10000-4 section 7.7.3, table of conversions).

Pure. None stands for NULL: a value that is not there, or that cannot be converted.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

_T: Final = ua.VariantType
# Of two types the one that comes first here is the one that both are converted to.
_PRECEDENCE: Final = (
    _T.Double,
    _T.Float,
    _T.Int64,
    _T.UInt64,
    _T.Int32,
    _T.UInt32,
    _T.StatusCode,
    _T.Int16,
    _T.UInt16,
    _T.SByte,
    _T.Byte,
    _T.Boolean,
    _T.Guid,
    _T.String,
    _T.ExpandedNodeId,
    _T.NodeId,
    _T.LocalizedText,
    _T.QualifiedName,
)
_RANK: Final = {kind: rank for rank, kind in enumerate(_PRECEDENCE)}
INTEGERS: Final = {
    _T.SByte: (-(2**7), 2**7 - 1),
    _T.Byte: (0, 2**8 - 1),
    _T.Int16: (-(2**15), 2**15 - 1),
    _T.UInt16: (0, 2**16 - 1),
    _T.Int32: (-(2**31), 2**31 - 1),
    _T.UInt32: (0, 2**32 - 1),
    _T.Int64: (-(2**63), 2**63 - 1),
    _T.UInt64: (0, 2**64 - 1),
}
_FLOATS: Final = (_T.Float, _T.Double)
_TEXTS: Final = {"true": True, "1": True, "false": False, "0": False}
_LONGEST_NUMBER: Final = 400  # characters; a Double has fewer, and longer ones cost time


def same_type(first: ua.Variant, second: ua.Variant) -> tuple[Any, Any] | None:
    """Two values as values of one type, the one of higher precedence; None when there is no such conversion."""
    if first.is_array or second.is_array:
        alike = first.is_array == second.is_array and first.VariantType == second.VariantType
        return (first.Value, second.Value) if alike else None
    one, other = first.VariantType, second.VariantType
    if one == other:
        return first.Value, second.Value
    if one not in _RANK or other not in _RANK:
        return None
    target = min(one, other, key=_RANK.__getitem__)
    converted = convert(first, target), convert(second, target)
    if converted[0] is None or converted[1] is None:
        return None
    return converted[0].Value, converted[1].Value


def convert(variant: ua.Variant, target: ua.VariantType) -> ua.Variant | None:
    """A scalar as another type; None when it cannot be that."""
    if variant.Value is None or variant.is_array:
        return None
    if variant.VariantType == target:
        return variant
    value = _converted(variant, target)
    return None if value is None else ua.Variant(value, target)


def _converted(variant: ua.Variant, target: ua.VariantType) -> Any:
    value: Any = variant.Value
    if isinstance(value, ua.StatusCode):
        value = value.value
    if target in INTEGERS or target == _T.StatusCode:
        return _integer(value, target)
    if target in _FLOATS:
        return _float(value)
    if target == _T.Boolean:
        return _boolean(value)
    if target == _T.String:
        return as_text(value)
    if target in (_T.NodeId, _T.ExpandedNodeId):
        return _node_id(value)
    if target == _T.LocalizedText:
        return ua.LocalizedText(value) if isinstance(value, str) else None
    if target == _T.DateTime:
        return _date_time(value)
    return None


def _integer(value: Any, target: ua.VariantType) -> Any:
    if isinstance(value, str):
        value = _parsed(value, int)
    elif isinstance(value, float):
        value = round(value) if value - value == 0 else None  # neither NaN nor infinite
    if not isinstance(value, int):
        return None
    if target == _T.StatusCode:
        return ua.StatusCode(ua.UInt32(value)) if 0 <= value < 2**32 else None
    low, high = INTEGERS[target]
    return int(value) if low <= value <= high else None


def _float(value: Any) -> float | None:
    if isinstance(value, str):
        value = _parsed(value, float)
    return float(value) if isinstance(value, int | float) else None


def _parsed(value: str, kind: Any) -> Any:
    if len(value) > _LONGEST_NUMBER:
        return None
    try:
        return kind(value)
    except ValueError:
        return None


def _boolean(value: Any) -> bool | None:
    if isinstance(value, str):
        return _TEXTS.get(value.lower())
    return bool(value) if isinstance(value, int | float) else None


def as_text(value: Any) -> str | None:
    """A value as a String; None for what has no text."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, ua.LocalizedText):
        return value.Text
    if isinstance(value, ua.NodeId):
        return str(value.to_string())
    if isinstance(value, ua.QualifiedName):
        return str(value.to_string())
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).isoformat().replace("+00:00", "Z")
    return None


def _node_id(value: Any) -> ua.NodeId | None:
    if isinstance(value, ua.NodeId):
        return value
    if not isinstance(value, str):
        return None
    try:
        found: ua.NodeId = ua.NodeId.from_string(value)
    except (ua.UaError, ValueError):
        return None
    return found


def _date_time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        return None
    return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
