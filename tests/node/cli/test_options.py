import os
from pathlib import Path

import pytest
import typer

from node.cli import options
from node.cli.options import check_owner, last_site, remember_site
from tests.node.cli.conftest import Gridnode


def test_without_a_site_the_one_run_last_is_meant(gridnode: Gridnode) -> None:
    assert "which site?" in gridnode("user", "list", code=2).stderr
    remember_site(gridnode.site)
    assert gridnode("user", "list").stdout.startswith("no users yet")


def test_a_site_that_is_gone_is_not_meant(gridnode: Gridnode) -> None:
    remember_site(gridnode.site)
    gridnode.site.unlink()
    said = gridnode("user", "list", code=2).stderr
    assert f"{gridnode.site}, which you ran last, is gone" in said


def test_problems_of_the_site_run_last_say_why_it_was_taken(gridnode: Gridnode) -> None:
    remember_site(gridnode.site)
    gridnode.site.write_text("site: Demo\n")
    for words in (("user", "list"), ("run",), ("watch",), ("simulate",), ("journal", "check")):
        assert f"the site file is {gridnode.site}, which you ran last; name" in gridnode(*words, code=1).stderr, words
    assert "ran last" not in gridnode.on_site("user", "list", code=1).stderr


def test_the_environment_names_the_site(gridnode: Gridnode) -> None:
    assert gridnode("user", "list", env={"GRIDNODE_SITE": str(gridnode.site)}).exit_code == 0


def test_a_site_with_problems_is_not_touched(gridnode: Gridnode, tmp_path: Path) -> None:
    gridnode.site.write_text("site: Demo\n")
    result = gridnode.on_site(
        "user", "add", "olga", "--role", "Admin", code=1, env={"GRIDNODE_PASSWORD": "correct horse"}
    )
    assert "2 problems; nothing was changed" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["site.yaml"]


def test_root_leaves_no_files_that_the_node_could_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(options.os, "geteuid", lambda: 0)
    owner = tmp_path.stat().st_uid
    if owner == 0:
        check_owner(tmp_path / "not" / "yet")
        options.os.chown(tmp_path, 65_533, -1)
    with pytest.raises(typer.Exit):
        check_owner(tmp_path / "not" / "yet")
    assert "run this as that user: sudo -u" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("watch",), ("call", "xw1", "Standby"), ("history", "xw1.ac_power"), ("cert", "renew"), ("user", "list")]
)
def test_root_uses_no_state_of_another_user(
    gridnode: Gridnode, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    state = gridnode.site.parent / "state"
    state.mkdir()
    monkeypatch.setattr(options.os, "geteuid", lambda: 0)
    if state.stat().st_uid == 0:
        options.os.chown(state, 65_533, -1)
    if words[0] == "user":  # it only looks
        gridnode.on_site(*words)
    else:
        assert "run this as that user: sudo -u" in gridnode.on_site(*words, code=1).stderr
    assert list(state.iterdir()) == []


def test_root_runs_no_node_on_the_state_of_another_user(gridnode: Gridnode, monkeypatch: pytest.MonkeyPatch) -> None:
    state = gridnode.site.parent / "state"
    state.mkdir()
    monkeypatch.setattr(options.os, "geteuid", lambda: 0)
    if state.stat().st_uid == 0:
        options.os.chown(state, 65_533, -1)
    assert "run this as that user: sudo -u" in gridnode("run", str(gridnode.site), code=1).stderr
    assert list(state.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named_with_the_way_out(
    gridnode: Gridnode, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = gridnode.site.parent
    monkeypatch.setattr(options.os, "access", lambda path, mode: not mode & os.W_OK and Path(path).exists())
    monkeypatch.setattr(options.os, "geteuid", lambda: folder.stat().st_uid)
    said = gridnode("run", str(gridnode.site), code=1).stderr
    assert f"{gridnode.site}: state: user " in said
    assert f"cannot write in {folder}, " in said
    assert f"'s own: chmod u+wx {folder}, or set `state:`" in said
    monkeypatch.setattr(options.os, "geteuid", lambda: folder.stat().st_uid + 1)
    said = gridnode("run", str(gridnode.site), code=1).stderr
    assert f"cannot write in {folder}, which belongs to " in said
    assert "chown the folder, or set `state:`" in said


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ("afile", "/afile is a file, not a folder"),
        ("afile/below", "/afile is a file, not a folder"),
        ("/proc/gn", "state: /proc/gn cannot be made: No such file or directory"),
    ],
)
def test_a_state_folder_that_cannot_be_is_told_with_its_key(gridnode: Gridnode, state: str, said: str) -> None:
    (gridnode.site.parent / "afile").write_text("")
    with gridnode.site.open("a") as site:
        site.write(f"state: {state}\n")
    stderr = gridnode("run", "--no-table", str(gridnode.site), code=1).stderr
    assert f"{gridnode.site}: state: " in stderr
    assert said in stderr


def test_a_start_that_failed_does_not_change_which_site_is_meant(gridnode: Gridnode, tmp_path: Path) -> None:
    remember_site(gridnode.site)
    other = tmp_path / "other.yaml"
    # 192.0.2.1 is no address of any machine (RFC 5737).
    other.write_text(gridnode.site.read_text().replace("127.0.0.1:4840", "192.0.2.1:4840") + "state: other\n")
    gridnode("run", "--no-table", str(other), code=1)
    assert last_site() == gridnode.site


def test_the_version_is_shown(gridnode: Gridnode) -> None:
    assert gridnode("--version").stdout.startswith("gridnode ")
