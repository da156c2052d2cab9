from datetime import UTC, datetime

import pytest

from node.sinks.base import Misconfigured, Poison, Retry, Stored, TooBig
from node.sinks.influx_answer import judge, message

NOW = datetime(2026, 6, 30, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [201, 204])
def test_only_what_says_so_is_stored(status: int) -> None:
    assert judge(status, {}, b"") == Stored()


@pytest.mark.parametrize("status", [200, 202, 301, 302, 401, 403, 404, 405, 501, 505, 511])
def test_what_a_person_has_to_change_never_drops_a_line(status: int) -> None:
    answer = judge(status, {}, b'{"message": "no"}')
    assert isinstance(answer, Misconfigured)
    assert answer.answered


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"Client sent an HTTP request to an HTTPS server."),
        (400, b"<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"),
        (400, b"<!DOCTYPE html><p>What?"),
        (400, b'{"error":"retention policy not found: year"}'),
        (500, b'{"error":"retention policy not found: year"}'),
    ],
)
def test_what_says_nothing_about_the_lines_gives_up_none(status: int, body: bytes) -> None:
    assert isinstance(judge(status, {}, body), Misconfigured)


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504])
def test_what_passes_is_tried_again(status: int) -> None:
    answer = judge(status, {}, b"")
    assert isinstance(answer, Retry)
    assert not answer.suspect


def test_an_internal_error_may_be_the_fault_of_the_lines() -> None:
    assert judge(500, {}, b'{"error": "boom"}') == Retry("HTTP 500: boom", suspect=True)


@pytest.mark.parametrize(
    ("header", "after_s"),
    [("2", 2.0), (" 120 ", 120.0), ("99999999999", 3600.0), ("Tue, 30 Jun 2026 12:00:30 GMT", 30.0),
     ("Tue, 30 Jun 2026 11:00:00 GMT", 0.0), ("soon", None), ("-5", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(header: str, after_s: float | None) -> None:
    assert judge(429, {"Retry-After": header}, b"", NOW) == Retry("HTTP 429", after_s)


@pytest.mark.parametrize("status", [400, 422])
def test_refused_lines_of_one_fault_are_of_one_kind(status: int) -> None:
    texts = [
        b'{"error":"unable to parse \'h,node=a v=bad 17\': invalid number"}',
        b'{"error":"unable to parse \'h,node=b v=worse 18\': invalid number"}',
    ]
    first, second = (judge(status, {}, text) for text in texts)
    assert isinstance(first, Poison)
    assert isinstance(second, Poison)
    assert first.reason != second.reason
    assert first.kind == second.kind
    assert not first.too_old


def test_older_than_the_retention_is_known() -> None:
    answer = judge(400, {}, b'{"error":"partial write: points beyond retention policy dropped=1"}')
    assert isinstance(answer, Poison)
    assert answer.too_old


def test_of_a_web_page_only_the_title_is_shown() -> None:
    page = (
        b"<!DOCTYPE HTML>\n<html><head><style>p {}</style><title>Not\n here &amp; now</title></head><p>Long text</html>"
    )
    assert message(page) == "Not here & now"
    assert message(b"<html><style>p {}</style><body><h1>Sorry</h1> <p>Later") == "Sorry Later"


def test_a_body_is_shown_on_one_line_and_not_whole() -> None:
    answer = judge(413, {}, b"<html>\n\x00too large" + b"x" * 10_000)
    assert isinstance(answer, TooBig)
    assert len(answer.reason) < 400
    assert answer.reason.isprintable()
