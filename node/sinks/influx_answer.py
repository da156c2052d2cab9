"""What an answer of InfluxDB means for the lines that were sent. Pure.

The same event has other codes in other versions, and a refused request may have been stored in part; lines may be
written again, so the code alone decides and the text is only shown to people.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

from node.sinks.base import Answer, Misconfigured, Poison, Retry, Stored, TooBig

_SHOWN: Final = 300
_PAGE_BYTES: Final = 65_536  # more of an answer is not looked at
# A server that asks for more than this is asked again all the same.
_AFTER_MAX_S: Final = 3600.0
# What differs in the texts about two lines with the same fault: quoted parts and words with digits.
_DIFFERENT: Final = re.compile(r"'[^']*'|\"[^\"]*\"|`[^`]*`|\[[^\]]*\]|\S*\d\S*")
_TOO_OLD: Final = re.compile(r"retention", re.IGNORECASE)
# Said with 400 or 500 by versions that know databases, but not this policy.
_NO_POLICY: Final = re.compile(r"retention policy not found", re.IGNORECASE)
# What a server with TLS says to a client without it, with 400: nothing about the lines.
_WANTS_TLS: Final = re.compile(r"HTTP request .*\bHTTPS (server|port)", re.IGNORECASE)
_WEB_PAGE: Final = re.compile(r"\s*<(!doctype\s+html|html|head|body|\?xml)\b", re.IGNORECASE)
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_HIDDEN: Final = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.IGNORECASE | re.DOTALL)
_TITLE_SHOWN: Final = 80


def judge(status: int, headers: Mapping[str, str], body: bytes, now: datetime | None = None) -> Answer:
    """Meaning of an HTTP answer to a write."""
    text = message(body)
    reason = f"HTTP {status}: {text}" if text else f"HTTP {status}"
    if status in (201, 204):
        return Stored()
    if _NO_POLICY.search(text) or _WANTS_TLS.search(text):
        return Misconfigured(reason, answered=True)
    if status in (400, 422, 406):
        if is_web_page(body):  # InfluxDB has none, so nothing has looked at the lines
            return Misconfigured(reason, answered=True)
        return Poison(reason, f"{status} {_DIFFERENT.sub('', text)[:_SHOWN]}", bool(_TOO_OLD.search(text)))
    if status == 413:
        return TooBig(reason)
    if status in (408, 425, 429, 500, 502, 503, 504):
        return Retry(reason, _after(headers.get("Retry-After"), now), suspect=status == 500)
    # 401, 403, 404 and whatever no InfluxDB answers to a write: 200 from a portal, a redirection, 405, 501.
    return Misconfigured(reason, answered=True)


def is_web_page(body: bytes) -> bool:
    """True for HTML, which no InfluxDB answers to a write."""
    return _WEB_PAGE.match(body[:_PAGE_BYTES].decode("utf-8", "replace")) is not None


def message(body: bytes) -> str:
    """What an error's body says, on one line, not longer than a person reads; of a web page its title."""
    text = body[:_PAGE_BYTES].decode("utf-8", "replace")
    if is_web_page(body):
        title = _TITLE.search(text)
        return _line(html.unescape(_HIDDEN.sub(" ", title[1] if title is not None else text)))[:_TITLE_SHOWN]
    try:
        data = json.loads(text)
    except ValueError:
        data = None
    if isinstance(data, dict):
        text = str(data.get("message") or data.get("error") or text)
    return _line(text)[:_SHOWN]


def _line(text: str) -> str:
    return "".join(c for c in " ".join(text.split()) if c.isprintable())


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
