"""Files that are replaced whole."""

import stat
from pathlib import Path

import pytest

from node.server.security.private_file import make_folder, write_atomic


def test_content_and_mode_are_the_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"old")
    path.chmod(0o666)
    write_atomic(path, b"new", 0o600)
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key.pem"]


def test_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.mkdir()  # a rename onto a folder fails
    with pytest.raises(OSError, match=r"key\.pem"):
        write_atomic(path, b"new", 0o600)
    assert [each.name for each in tmp_path.iterdir()] == ["key.pem"]


def test_mode_of_an_existing_folder_is_left_to_its_owner(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    make_folder(folder, 0o700)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o750)
    make_folder(folder, 0o700)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
