import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest

from node.cli.options import remember_site
from node.clock import RealClock
from node.config import load_site
from node.identity import client_identity, site_pki
from node.server.security.certificate import new_key, self_signed
from node.server.security.pki import Pki
from tests.node.cli.conftest import Gridnode


def application(tmp_path: Path) -> bytes:
    """Certificate of some application."""
    return Pki(tmp_path / "application", RealClock()).ensure_own(client_identity()).certificate.der


def refused(gridnode: Gridnode, tmp_path: Path) -> str:
    """Thumbprint of an application that the site has just refused."""
    verdict = site_pki(load_site(gridnode.site), RealClock()).trust.validate(application(tmp_path))
    assert verdict.stored
    return verdict.thumbprint


def test_the_logged_line_works_as_it_stands_from_any_folder(
    gridnode: Gridnode, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a plant"
    folder.mkdir()
    gridnode.site = gridnode.site.rename(folder / "site.yaml")
    remember_site(tmp_path / "another.yaml")
    monkeypatch.chdir(folder)
    trust = site_pki(load_site(Path("site.yaml")), RealClock()).trust
    trust.report(trust.validate(application(tmp_path)), "192.0.2.66")
    monkeypatch.chdir("/")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "node.server.security.trust"]
    words = shlex.split(line[line.index("gridnode trust accept") :])
    assert gridnode(*words[1:]).stdout.startswith("trusted: ")


def test_a_refused_application_is_accepted_by_the_words_of_the_log(gridnode: Gridnode, tmp_path: Path) -> None:
    thumbprint = refused(gridnode, tmp_path)
    gridnode.on_site("trust", "accept", thumbprint)
    listed = gridnode.on_site("trust", "list").stdout
    assert listed.startswith(f"trusted:\n  {thumbprint}  gridnode client  urn:")
    assert listed.endswith("refused: none\n")


def test_trust_is_taken_away_again(gridnode: Gridnode, tmp_path: Path) -> None:
    thumbprint = refused(gridnode, tmp_path)
    gridnode.on_site("trust", "accept", thumbprint[:8])
    gridnode.on_site("trust", "revoke", thumbprint)
    assert gridnode.on_site("trust", "list").stdout.startswith("trusted: none\nrefused:\n  " + thumbprint)


def test_a_certificate_is_trusted_before_its_application_came(gridnode: Gridnode, tmp_path: Path) -> None:
    own = Pki(tmp_path / "application", RealClock()).ensure_own(client_identity())
    gridnode.on_site("trust", "add", str(own.certificate_path))
    assert own.certificate.thumbprint in gridnode.on_site("trust", "list").stdout


def test_one_that_was_refused_and_is_added_waits_no_more(gridnode: Gridnode, tmp_path: Path) -> None:
    thumbprint = refused(gridnode, tmp_path)
    gridnode.on_site("trust", "accept", thumbprint)
    gridnode.on_site("trust", "revoke", thumbprint)
    refused(gridnode, tmp_path)
    gridnode.on_site("trust", "add", str(tmp_path / "application" / "own" / "cert.der"))
    listed = gridnode.on_site("trust", "list").stdout
    assert listed.startswith(f"trusted:\n  {thumbprint}")
    assert listed.endswith("refused: none\n")
    assert not site_pki(load_site(gridnode.site), RealClock()).trust.rejected()


def test_one_in_both_folders_is_listed_as_trusted_alone(gridnode: Gridnode, tmp_path: Path) -> None:
    refused(gridnode, tmp_path)
    site_pki(load_site(gridnode.site), RealClock()).trust.add(application(tmp_path))
    assert gridnode.on_site("trust", "list").stdout.endswith("refused: none\n")


def test_that_a_trusted_certificate_has_ended_is_said(gridnode: Gridnode, tmp_path: Path) -> None:
    file = tmp_path / "old.der"
    file.write_bytes(self_signed(new_key(2048), client_identity(), datetime(2020, 1, 1, tzinfo=UTC), 30))
    said = gridnode.on_site("trust", "add", str(file))
    assert "it has ended and will be refused all the same" in said.stderr
    assert "until 2020-01-31 (it has ended)" in gridnode.on_site("trust", "list").stdout


def test_what_cannot_be_done_is_said(gridnode: Gridnode, tmp_path: Path) -> None:
    gridnode.on_site("trust", "accept", "00" * 20, code=1)
    garbage = tmp_path / "garbage"
    garbage.write_bytes(b"garbage")
    assert "no certificate" in gridnode.on_site("trust", "add", str(garbage), code=1).stderr
