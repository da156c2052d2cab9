"""The users file and the rules for it."""

import io
import json
import os
import stat
from pathlib import Path

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.exceptions import VerifyMismatchError

from node.roles import Role, parse_role
from node.server.security.roles import well_known_role_ids
from node.server.security.users import UserError, UsersFileError, UserStore, _hash_of_nothing

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SECRET = "correct horse"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "users.json"


@pytest.fixture
def store(path: Path) -> UserStore:
    """A store with one Admin."""
    store = UserStore(path, CHEAP)
    store.add("root", SECRET, Role.ADMIN)
    return store


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_added_user_logs_in_with_its_role(store: UserStore) -> None:
    store.add("anna", "let me in!", Role.OPERATOR)
    assert store.check("anna", "let me in!") is Role.OPERATOR
    assert store.check("anna", "let me in") is None
    assert store.check("Anna", "let me in!") is None
    assert store.check("nobody", "let me in!") is None
    assert [(user.name, user.role) for user in store.list()] == [("anna", Role.OPERATOR), ("root", Role.ADMIN)]


def test_file_holds_argon2id_hashes_and_is_private(store: UserStore, path: Path) -> None:
    assert mode_of(path) == 0o600
    assert mode_of(path.parent) == 0o700
    entry = json.loads(path.read_text())["users"]["root"]
    assert entry["role"] == "Admin"
    assert entry["hash"].startswith("$argon2id$")
    assert SECRET not in path.read_text()
    assert entry["hash"] not in repr(store.list())


def test_default_hash_is_argon2id_of_current_strength(path: Path) -> None:
    store = UserStore(path)
    hashed = store.add("root", SECRET, Role.ADMIN).hash
    assert hashed.startswith("$argon2id$v=19$m=65536,")
    assert store.check("root", SECRET) is Role.ADMIN


def test_user_added_by_another_process_counts_at_once(store: UserStore, path: Path) -> None:
    assert store.check("anna", "let me in!") is None
    UserStore(path, CHEAP).add("anna", "let me in!", Role.ENGINEER)
    assert store.check("anna", "let me in!") is Role.ENGINEER
    UserStore(path, CHEAP).remove("anna")
    assert store.check("anna", "let me in!") is None


def test_two_stores_lose_no_user_of_each_other(store: UserStore, path: Path) -> None:
    other = UserStore(path, CHEAP)
    store.add("anna", "let me in!", Role.OBSERVER)
    other.add("bert", "let me in!", Role.OBSERVER)
    assert [user.name for user in store.list()] == ["anna", "bert", "root"]


def test_new_password_replaces_the_old_one(store: UserStore) -> None:
    store.passwd("root", "another one")
    assert store.check("root", SECRET) is None
    assert store.check("root", "another one") is Role.ADMIN


def test_last_admin_cannot_be_removed(store: UserStore) -> None:
    store.add("anna", "let me in!", Role.OPERATOR)
    with pytest.raises(UserError, match="last Admin"):
        store.remove("root")
    store.add("berta", "let me in!", Role.ADMIN)
    store.remove("root")
    assert [user.name for user in store.list()] == ["anna", "berta"]


@pytest.mark.parametrize(
    ("password", "reason"),
    [("", "empty"), ("          ", "empty"), ("1234567", "8 to 256"), ("x" * 257, "8 to 256"), ("ANNA-MARIA", "name")],
)
def test_password_against_the_rules_is_refused_without_showing_it(store: UserStore, password: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason) as error:
        store.add("anna-maria", password, Role.OBSERVER)
    assert not password.strip() or password not in str(error.value)
    assert len(store.list()) == 1


@pytest.mark.parametrize("name", ["", " anna", "anna ", "an\nna", "a" * 65, "an\x00na"])
def test_name_that_could_mislead_is_refused(store: UserStore, name: str) -> None:
    with pytest.raises(UserError, match="1 to 64 printable"):
        store.add(name, SECRET, Role.OBSERVER)


def test_name_in_use_is_refused_in_any_case(store: UserStore) -> None:
    with pytest.raises(UserError, match="'root' already"):
        store.add("ROOT", SECRET, Role.OBSERVER)


def test_unknown_user_cannot_be_changed(store: UserStore) -> None:
    with pytest.raises(UserError, match="no user 'anna'"):
        store.passwd("anna", SECRET)
    with pytest.raises(UserError, match="no user 'anna'"):
        store.remove("anna")


def test_accents_typed_in_either_unicode_form_are_the_same(store: UserStore) -> None:
    store.add("jürgen", "pässwörd", Role.OBSERVER)
    assert store.check("ju\u0308rgen", "pa\u0308sswo\u0308rd") is Role.OBSERVER


def test_password_with_half_a_character_is_only_wrong(store: UserStore) -> None:
    assert store.check("root", "\udc80" * 10) is None


def test_broken_file_at_the_start_is_an_error_that_names_it(path: Path) -> None:
    path.parent.mkdir()
    for content in ('{"users":', "[]", '{"version": 2, "users": {}}', '{"version": 1}', "\xff", "[" * 100_000):
        path.write_text(content, encoding="latin-1")
        with pytest.raises(UsersFileError, match=r"users\.json is not a users file"):
            UserStore(path, CHEAP)


@pytest.mark.parametrize(
    "entry",
    [None, {"hash": "x"}, {"hash": 3, "role": "Admin"}, {"hash": "x", "role": "King"}, {"hash": "x", "role": 4}],
)
def test_broken_entry_is_an_error(path: Path, entry: object) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({"version": 1, "users": {"anna": entry}}))
    with pytest.raises(UsersFileError):
        UserStore(path, CHEAP)


def test_file_that_breaks_later_leaves_the_users_as_they_were(
    store: UserStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text("{ half")
    path.chmod(0o600)
    assert store.check("root", SECRET) is Role.ADMIN
    assert store.check("root", SECRET) is Role.ADMIN
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 1
    assert str(path) in errors[0]
    with pytest.raises(UsersFileError):
        store.add("anna", SECRET, Role.OBSERVER)
    assert path.read_text() == "{ half"


def test_file_that_disappears_leaves_no_users(store: UserStore, path: Path) -> None:
    path.unlink()
    assert store.check("root", SECRET) is None


def test_unusable_hash_lets_nobody_in_and_says_what_to_do(
    store: UserStore, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_text(json.dumps({"version": 1, "users": {"root": {"hash": SECRET, "role": "Admin"}}}))
    assert store.check("root", SECRET) is None
    assert "gridnode user passwd" in caplog.text
    assert SECRET not in caplog.text


def test_file_that_others_can_read_is_reported(store: UserStore, path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path.chmod(0o644)
    os.utime(path, ns=(1, 1))
    store.list()
    assert f"chmod 600 {path}" in caplog.text


# --- first start ---


def test_first_admin_is_shown_on_the_terminal_and_nowhere_else(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, terminal = UserStore(path, CHEAP), io.StringIO()
    assert store.ensure_admin(terminal) is True
    password = terminal.getvalue().split("password ")[1].split()[0]
    assert len(password) == 20
    assert store.check("admin", password) is Role.ADMIN
    assert password not in caplog.text
    assert not (path.parent / "first-admin-password").exists()


def test_first_admin_without_a_terminal_is_in_a_private_file(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = UserStore(path, CHEAP)
    assert store.ensure_admin() is True
    file = path.parent / "first-admin-password"
    password = file.read_text().strip()
    assert mode_of(file) == 0o600
    assert str(file) in caplog.text
    assert password not in caplog.text
    assert store.check("admin", password) is Role.ADMIN
    store.passwd("admin", "my own one")
    assert not file.exists()


def test_second_start_makes_no_admin(store: UserStore, path: Path) -> None:
    terminal = io.StringIO()
    assert store.ensure_admin(terminal) is False
    assert terminal.getvalue() == ""
    assert [user.name for user in store.list()] == ["root"]


def test_two_first_starts_have_different_passwords(tmp_path: Path) -> None:
    texts = set()
    for name in ("a", "b"):
        UserStore(tmp_path / name / "users.json", CHEAP).ensure_admin()
        texts.add((tmp_path / name / "first-admin-password").read_text())
    assert len(texts) == 2


# --- roles ---


def test_each_role_may_do_what_the_one_before_may() -> None:
    assert Role.OBSERVER < Role.OPERATOR < Role.ENGINEER < Role.ADMIN


def test_roles_are_the_well_known_ones_of_opc_ua() -> None:
    assert well_known_role_ids(None) == (15644,)
    assert well_known_role_ids(Role.OBSERVER) == (15644, 15656, 15668)
    assert well_known_role_ids(Role.ENGINEER) == (15644, 15656, 15668, 15680, 16036)
    assert well_known_role_ids(Role.ADMIN) == (15644, 15656, 15668, 15680, 16036, 15716, 15704)


def test_role_names_are_read_in_any_case() -> None:
    assert [parse_role(role.label.upper()) for role in Role] == list(Role)
    with pytest.raises(ValueError, match="'King' is no role; allowed: Observer, Operator, Engineer, Admin"):
        parse_role("King")


def test_unknown_user_is_checked_at_the_cost_of_a_known_one() -> None:
    hasher = PasswordHasher(time_cost=1, memory_cost=16, parallelism=2)
    nothing = _hash_of_nothing(hasher)
    assert extract_parameters(nothing) == extract_parameters(hasher.hash("some password"))
    with pytest.raises(VerifyMismatchError):
        hasher.verify(nothing, "some password")
