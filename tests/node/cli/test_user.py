import stat
from pathlib import Path

from node.clock import RealClock
from node.config import load_site
from node.identity import client_identity, site_pki
from node.roles import Role
from node.server.security.pki import Pki
from node.server.security.users import UserStore
from tests.node.cli.conftest import Gridnode

WORD = {"GRIDNODE_PASSWORD": "correct horse"}


def users(gridnode: Gridnode) -> UserStore:
    return UserStore(gridnode.site.parent / "state" / "users.json")


def test_a_user_is_added_with_a_role_and_can_log_in(gridnode: Gridnode) -> None:
    result = gridnode.on_site("user", "add", "olga", "--role", "operator", env=WORD)
    assert result.stdout == "added olga as Operator\n"
    assert users(gridnode).check("olga", "correct horse") is Role.OPERATOR
    assert gridnode.on_site("user", "list").stdout == "Operator  olga\n"


def test_a_password_comes_from_a_file_without_its_line_end(gridnode: Gridnode, tmp_path: Path) -> None:
    file = tmp_path / "word"
    file.write_text("battery staple\n")
    gridnode.on_site("user", "add", "olga", "--role", "Observer", "--password-file", str(file))
    assert users(gridnode).check("olga", "battery staple") is Role.OBSERVER


def test_a_password_is_never_an_argument(gridnode: Gridnode) -> None:
    gridnode.on_site("user", "add", "olga", "--role", "Observer", "--password", "correct horse", code=2)


def test_without_a_terminal_a_password_has_to_come_from_elsewhere(gridnode: Gridnode) -> None:
    result = gridnode.on_site("user", "add", "olga", "--role", "Observer", code=2)
    assert "use --password-file or GRIDNODE_PASSWORD" in result.stderr


def test_a_password_is_changed(gridnode: Gridnode) -> None:
    gridnode.on_site("user", "add", "olga", "--role", "Observer", env=WORD)
    gridnode.on_site("user", "passwd", "olga", env={"GRIDNODE_PASSWORD": "another one"})
    assert users(gridnode).check("olga", "correct horse") is None
    assert users(gridnode).check("olga", "another one") is Role.OBSERVER


def test_a_user_is_removed(gridnode: Gridnode) -> None:
    gridnode.on_site("user", "add", "olga", "--role", "Observer", env=WORD)
    gridnode.on_site("user", "remove", "olga")
    assert gridnode.on_site("user", "list").stdout.startswith("no users yet")


def test_what_cannot_be_done_is_said_without_the_password(gridnode: Gridnode) -> None:
    short = gridnode.on_site("user", "add", "olga", "--role", "Observer", env={"GRIDNODE_PASSWORD": "abc1"}, code=1)
    assert "8 to 256 characters" in short.stderr
    assert "abc1" not in short.output
    role = gridnode.on_site("user", "add", "olga", "--role", "King", env=WORD, code=2)
    assert "allowed: Observer, Operator, Engineer, Admin" in role.stderr
    assert "there is no user 'olga'" in gridnode.on_site("user", "remove", "olga", code=1).stderr
    gridnode.on_site("user", "add", "root", "--role", "Admin", env=WORD)
    assert "last Admin" in gridnode.on_site("user", "remove", "root", code=1).stderr


def test_only_the_owner_can_read_the_file(gridnode: Gridnode) -> None:
    gridnode.on_site("user", "add", "olga", "--role", "Observer", env=WORD)
    assert stat.S_IMODE(users(gridnode).path.stat().st_mode) == 0o600


def test_a_user_gets_a_certificate_and_loses_it(gridnode: Gridnode, tmp_path: Path) -> None:
    gridnode.on_site("user", "add", "olga", "--role", "Operator", env=WORD)
    own = Pki(tmp_path / "olga", RealClock()).ensure_own(client_identity())
    thumbprint = own.certificate.thumbprint
    assert thumbprint in gridnode.on_site("user", "cert", "olga", str(own.certificate_path)).stdout
    trust = site_pki(load_site(gridnode.site), RealClock()).user_trust
    known = users(gridnode).owner(thumbprint)
    assert known is not None
    assert (known.name, known.role) == ("olga", Role.OPERATOR)
    assert trust.check(own.certificate.der).ok
    assert "olga  (1 certificate)" in gridnode.on_site("user", "list").stdout
    gridnode.on_site("user", "add", "otto", "--role", "Admin", env=WORD)
    taken = gridnode.on_site("user", "cert", "otto", str(own.certificate_path), code=1)
    assert "'olga'" in taken.stderr
    gridnode.on_site("user", "cert", "olga", "--clear")
    assert users(gridnode).owner(thumbprint) is None
    assert not trust.check(own.certificate.der).ok
    gridnode.on_site("user", "cert", "olga", code=2)
