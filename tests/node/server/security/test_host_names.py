"""The names that go into the node's certificate."""

from pathlib import Path

import pytest

from node.server.security.host_names import interface_addresses, normal_name, server_names

FIB_TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/31 1 0 0
           |-- 127.0.0.1
              /32 host LOCAL
        +-- 192.0.2.0/30 2 0 2
           |-- 192.0.2.2
              /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
           |-- 192.0.2.2
              /32 host LOCAL
           |-- 169.254.3.4
              /32 host LOCAL
"""
IF_INET6 = """\
20010db8000000000000000000000002 04 40 00 82     eth0
fe8000000000000000fc00fffe000001 04 40 20 80     eth0
00000000000000000000000000000001 01 80 10 80       lo
"""


def test_addresses_of_the_kernel_tables_without_loopback_and_link_local(tmp_path: Path) -> None:
    (tmp_path / "v4").write_text(FIB_TRIE)
    (tmp_path / "v6").write_text(IF_INET6)
    assert interface_addresses(tmp_path / "v4", tmp_path / "v6") == ("192.0.2.2", "2001:db8::2")


def test_machine_without_those_tables_has_no_known_address(tmp_path: Path) -> None:
    assert interface_addresses(tmp_path / "v4", tmp_path / "v6") == ()


def test_site_names_come_first_and_loopback_last() -> None:
    names = server_names(["scada.example", "[2001:DB8::9]", "SCADA.example."])
    assert names[:2] == ("scada.example", "2001:db8::9")
    assert names[-3:] == ("localhost", "127.0.0.1", "::1")
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("Plant-7.Example.", "plant-7.example"),
        ("192.0.2.7", "192.0.2.7"),
        ("2001:0db8:0:0::1", "2001:db8::1"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("rtu_4", "rtu_4"),
    ],
)
def test_names_have_one_spelling(given: str, normal: str) -> None:
    assert normal_name(given) == normal


@pytest.mark.parametrize("name", ["", " ", "a b", "-a", "a..b", "a" * 64, ".".join(["abcdefgh"] * 29), "opc.tcp://x"])
def test_what_is_no_name_is_refused_with_its_text(name: str) -> None:
    with pytest.raises(ValueError, match="neither a host name nor an IP address"):
        normal_name(name)
