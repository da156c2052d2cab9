"""What people are told when an InfluxDB does not take anything: where, what, and which key to look at."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.sinks.base import Misconfigured, Retry
from node.sinks.influx_config import InfluxConfig, Secret
from node.sinks.influx_words import InfluxWords

CONFIG = InfluxConfig(id="central", url="http://influx:8086/", bucket="gridnod", org="acme")
BY_TOKEN = replace(CONFIG, token=Secret(file=Path("/etc/gridnode/influx.token")))
BY_VARIABLE = replace(CONFIG, token=Secret(variable="INFLUX_TOKEN"))
BY_USER = replace(CONFIG, user="feeder", password=Secret(file=Path("/etc/gridnode/password")))
OF_1X = {"X-Influxdb-Version": "1.8.10"}


def said(status: int, text: str, config: InfluxConfig = CONFIG, headers: dict[str, str] | None = None) -> str:
    answer = InfluxWords(config).answered("/api/v2/write", status, headers or {}, text.encode())
    assert isinstance(answer, Misconfigured | Retry)
    return answer.reason


@pytest.mark.parametrize(
    ("status", "text", "expected"),
    [
        (
            404,
            '{"error":"database not found: \\"gridnod\\""}',
            "http://influx:8086 has no database or bucket 'gridnod' (HTTP 404: database not found: \"gridnod\");"
            " create it or correct sinks.central.bucket",
        ),
        (
            404,
            "404 page not found",
            "http://influx:8086 has nothing at /api/v2/write (HTTP 404: 404 page not found);"
            " is the path in sinks.central.url right, and sinks.central.api?",
        ),
        (
            404,
            '{"code":"not found","message":"organization name \\"acme\\" not found"}',
            "http://influx:8086 does not know the organization 'acme' (HTTP 404: organization name \"acme\" not found);"
            " correct sinks.central.org",
        ),
        (
            501,
            "<html><head><title>Error response</title><body>Long</html>",
            "http://influx:8086 answers as a web server, not as InfluxDB (HTTP 501: Error response);"
            " is sinks.central.url right?",
        ),
        (
            400,
            "Client sent an HTTP request to an HTTPS server.",
            "http://influx:8086 wants TLS (HTTP 400: Client sent an HTTP request to an HTTPS server.);"
            " write https:// in sinks.central.url",
        ),
        (
            403,
            '{"error":"no"}',
            "http://influx:8086 does not let us write to gridnod (HTTP 403: no); may a client without credentials do"
            " that, is sinks.central.bucket right?",
        ),
        (200, "OK", "http://influx:8086 does not answer as InfluxDB does (HTTP 200: OK); is sinks.central.url right?"),
        (503, '{"error":"full"}', "http://influx:8086 takes nothing now (HTTP 503: full); it is tried again"),
    ],
)
def test_an_answer_is_told_with_place_and_key(status: int, text: str, expected: str) -> None:
    assert said(status, text) == expected


@pytest.mark.parametrize(
    ("config", "headers", "expected"),
    [
        (CONFIG, {}, "no credentials are given: name sinks.central.token_file, or for 1.x sinks.central.user and"),
        (CONFIG, OF_1X, "no credentials are given: give sinks.central.user and sinks.central.password_file"),
        (BY_TOKEN, {}, "is the token of sinks.central.token_file (/etc/gridnode/influx.token) right?"),
        (BY_TOKEN, OF_1X, "InfluxDB 1.8.10 has users in place of tokens: give sinks.central.user and"),
        (BY_VARIABLE, {}, "is the token of sinks.central.token_env (INFLUX_TOKEN) right?"),
        (
            BY_USER,
            OF_1X,
            "is the user 'feeder' with the password of sinks.central.password_file (/etc/gridnode/password) right?",
        ),
    ],
)
def test_a_refused_client_is_told_which_credentials_it_had(
    config: InfluxConfig, headers: dict[str, str], expected: str
) -> None:
    text = said(401, '{"error":"unauthorized access"}', config, headers)
    assert text.startswith(f"http://influx:8086 does not let us in (HTTP 401: unauthorized access); {expected}")


def test_a_redirection_is_told_without_what_may_be_secret_in_it() -> None:
    text = said(302, "", headers={"Location": "https://me:hunter2@login.example.com/in?token=hunter2"})
    assert "to https://login.example.com/in; is sinks.central.url right?" in text
    assert "hunter2" not in text


def test_an_address_is_shown_without_credentials() -> None:
    config = replace(CONFIG, url="https://me:hunter2@influx:8086/base")
    assert config.shown_url == "https://influx:8086/base"
    assert config.target == "InfluxDB at https://influx:8086/base, bucket gridnod of acme"
    assert said(404, "", config).startswith("https://influx:8086/base has nothing")
