"""Sinks of a site file: what is refused, with which line and words, and what comes out of a right one."""

from pathlib import Path

import pytest

from drivers.problems import ConfigError
from node.config import check_site
from node.sinks.influx_config import Api, InfluxConfig, Secret

SITE = """\
site: demo
sinks:
  central:
    type: influx
    url: https://influx.example.com:8086
    bucket: plant
{more}
devices:
  sum: {{class: generic, computed: {{}}}}
buses:
  gw1: {{driver: modbus, tcp: 127.0.0.1}}
"""
DEVICES = "devices:\n  xw1: {profile: schneider.xw, bus: gw1, unit: 10}"


def site(more: str = "", **changes: str) -> str:
    text = SITE.format(more=more).replace("devices:\n  sum: {class: generic, computed: {}}", DEVICES)
    for old, new in changes.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def checked(folder: Path, text: str) -> tuple[InfluxConfig, list[str]]:
    path = folder / "site.yaml"
    path.write_text(text)
    check = check_site(path)
    (sink,) = check.site.sinks
    assert isinstance(sink, InfluxConfig)
    return sink, [str(warning).removeprefix(f"{folder}/") for warning in check.warnings]


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        checked(folder, text)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_a_sink_needs_little(tmp_path: Path) -> None:
    sink, warnings = checked(tmp_path, site())
    assert sink == InfluxConfig(id="central", url="https://influx.example.com:8086", bucket="plant", timeout_s=30.0)
    assert warnings == []
    assert sink.database == "plant"
    assert sink.retention_policy == ""


def test_a_sink_may_have_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INFLUX_TOKEN", "abc")
    (tmp_path / "ca.pem").touch()
    more = """\
    label: Head office
    org: acme
    api: v2
    token_env: INFLUX_TOKEN
    ca_file: ca.pem
    timeout: 10s
    gzip: false
    batch_lines: 1000
    batch_size: 500000
    replay_rate: null
    read_back: true
"""
    sink, warnings = checked(tmp_path, site(more))
    assert warnings == []
    assert sink == InfluxConfig(
        id="central",
        label="Head office",
        replay_rate=None,
        batch_lines=1000,
        batch_bytes=500_000,
        read_back=True,
        url="https://influx.example.com:8086",
        bucket="plant",
        org="acme",
        api=Api.V2,
        token=Secret(variable="INFLUX_TOKEN"),
        ca_file=tmp_path / "ca.pem",
        timeout_s=10.0,
        gzip=False,
    )


def test_a_bucket_of_1x_may_name_its_retention_policy(tmp_path: Path) -> None:
    sink, _ = checked(tmp_path, site(**{"bucket: plant": "bucket: plant/year"}))
    assert (sink.database, sink.retention_policy) == ("plant", "year")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("    token: abc", "7: sinks.central.token: a secret never stands in a site file"),
        ("    password: abc", "7: sinks.central.password: a secret never stands in a site file"),
        ("    tokn_file: abc", "7: sinks.central.tokn_file: unknown key; did you mean token_file?"),
        ("    token_env: 1x", "7: sinks.central.token_env: must be the name of an environment variable"),
        ("    token_env: A\n    token_file: b", "3: sinks.central: has token_file and token_env"),
        ("    token_env: A\n    user: u\n    password_env: P", "3: sinks.central: has a token and a user"),
        ("    user: u", "7: sinks.central.user: needs password_file or password_env"),
        ("    user: 'a:b'\n    password_env: P", "7: sinks.central.user: must not have a colon"),
        ("    password_env: P", "3: sinks.central: has a password, but no user"),
        ("    timeout: 10m", "7: sinks.central.timeout: must be at most 5m; it is 600s"),
        ("    api: v3", "7: sinks.central.api: must be auto, v1 or v2; it is 'v3'"),
        ("    batch_lines: 0", "7: sinks.central.batch_lines: must be greater than or equal to 1"),
        ("    replay_rate: -1", "7: sinks.central.replay_rate: must be greater than or equal to 0"),
        ("  node: {type: influx, url: 'http://a', bucket: b}", "7: sinks.node: the id `node` is the node's own"),
        (
            "  xw1: {type: influx, url: 'http://a', bucket: b}",
            "7: sinks.xw1: xw1 stands under devices, too; ids of buses, devices and sinks are NodeIds and stand once",
        ),
        ("  gw1: {type: influx, url: 'http://a', bucket: b}", "7: sinks.gw1: gw1 stands under buses, too"),
        ("  b: {type: mqtt, url: 'http://a', bucket: b}", "7: sinks.b.type: must be influx; it is 'mqtt'"),
        ("  b: {type: influx, bucket: b}", "7: sinks.b.url: is missing"),
        ("  b: {type: influx, url: 'http://a', bucket: b, ca_file: x}", "7: sinks.b.ca_file: has no meaning for http"),
        (
            "    read_back: true\n  b: {type: influx, url: 'http://a', bucket: b, read_back: true}",
            "8: sinks.b.read_back: sink central is read back already",
        ),
        ("history: {enabled: false}", "7: history.enabled: sinks are fed from the journal"),
    ],
)
def test_a_wrong_sink_says_where_and_what_is_allowed(tmp_path: Path, more: str, expected: str) -> None:
    (found,) = problems(tmp_path, site(more))
    assert found.startswith(f"site.yaml:{expected}"), found


@pytest.mark.parametrize(
    "url",
    ["influx:8086", "ftp://influx", "https://", "https://a:port", "https://a:99999", "https://a b", "https://a?b=c"],
)
def test_what_is_no_address_is_refused(tmp_path: Path, url: str) -> None:
    (found,) = problems(tmp_path, site(**{"https://influx.example.com:8086": f"'{url}'"}))
    assert found.startswith("site.yaml:5: sinks.central.url: is no address of a server; write http://host:port")


def test_an_address_with_a_password_is_refused_and_not_said_again(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, site(**{"https://influx": "https://me:hunter2@influx"}))
    assert found.startswith("site.yaml:5: sinks.central.url: a secret never stands in a site file")
    assert "hunter2" not in found


def test_credentials_in_clear_are_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKEN", "abc")
    text = site("    token_env: TOKEN", **{"https://": "http://"})
    _, (warning,) = checked(tmp_path, text)
    assert warning.startswith("site.yaml:5: sinks.central.url: http shows the credentials")


def test_a_token_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("abc")
    token.chmod(0o644)
    _, (warning,) = checked(tmp_path, site("    token_file: token"))
    assert warning.startswith("site.yaml:7: sinks.central.token_file: others on this machine can read token")
    token.chmod(0o600)
    sink, warnings = checked(tmp_path, site("    token_file: token"))
    assert warnings == []
    assert sink.token == Secret(file=token)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("    token_file: away", "7: sinks.central.token_file: {folder}/away cannot be read: No such file"),
        ("    token_file: empty", "7: sinks.central.token_file: {folder}/empty is empty"),
        (
            "    user: u\n    password_file: away",
            "8: sinks.central.password_file: {folder}/away cannot be read: No such",
        ),
        ("    token_env: UNSET", "7: sinks.central.token_env: the environment variable UNSET is not set or empty"),
        ("    token_env: BLANK", "7: sinks.central.token_env: the environment variable BLANK is not set or empty"),
    ],
)
def test_a_secret_that_is_not_there_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: str, expected: str
) -> None:
    (tmp_path / "empty").touch(0o600)
    monkeypatch.delenv("UNSET", raising=False)
    monkeypatch.setenv("BLANK", " ")
    _, (warning,) = checked(tmp_path, site(more))
    assert warning.startswith(f"site.yaml:{expected.format(folder=tmp_path)}")
    assert warning.endswith("; until that is right nothing is sent")


@pytest.mark.parametrize("written", ["0", "null"])
def test_no_limit_for_the_replay(tmp_path: Path, written: str) -> None:
    sink, _ = checked(tmp_path, site(f"    replay_rate: {written}"))
    assert sink.replay_rate is None
