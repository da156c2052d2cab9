"""What an answer of InfluxDB means for the lines that were sent. Pure.

The same event has other codes in other versions, and a refused request may have been stored in part; lines may be
written again, so the code alone decides and the text is only shown to people.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from node.sinks.base import Answer, Misconfigured, Poison, Retry, Stored, TooBig

_SHOWN: Final = 300
# A server that asks for more than this is asked again all the same.
_AFTER_MAX_S: Final = 3600.0
# What differs in the texts about two lines with the same fault: quoted parts and words with digits.
_DIFFERENT: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\S*\d\S*")
_TOO_OLD: Final = re.compile(r"retention", re.IGNORECASE)


def judge(status: int, headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> Answer:
    """Meaning of an HTTP answer to a write."""
    text = message(body)
    reason = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status in (201, 204):
        return Stored()
    if status in (400, 422, 406):
        return Poison(reason, f"{status} {_DIFFERENT.sub('', text)[:_SHOWN]}", bool(_TOO_OLD.search(text)))
    if status == 413:
        return TooBig(reason)
    if status in (408, 425, 429) or status >= 500:
        return Retry(reason, _after(headers.get("Retry-After"), now), suspect=status == 500)
    # 401, 403, 404 and whatever no InfluxDB answers to a write: 200 from a portal, a redirection, 405.
    return Misconfigured(reason)


def message(body: bytes) -> str:
    """What an error's body says, on one line, not longer than a person reads."""
    text = body[:65_536].decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        text = str(data.get("message") or data.get("error") or text)
    line = " ".join(text.split())
    return "".join(c for c in line if c.isprintable())[:_SHOWN]


def _after(text: str | None, now: datetime | None) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 section 10.2.3); None when there is none or it makes no sense."""
    if text is None:
        return None
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), _AFTER_MAX_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0), _AFTER_MAX_S)
