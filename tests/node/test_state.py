"""One node a state folder."""

import os
import re
from pathlib import Path

import pytest

from node.state import StateInUse, StateUnusable, holding


def test_a_folder_is_held_by_one_node_and_free_again_afterwards(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    in_use = f"{folder} is in use by process {os.getpid()}"
    with holding(folder, "plant"):
        with pytest.raises(StateInUse, match=re.escape(in_use)), holding(folder, "plant"):
            raise AssertionError("held twice")
        assert folder.stat().st_mode & 0o777 == 0o700
    with holding(folder, "plant"):
        assert (folder / "lock").read_text() == f"{os.getpid()}\n"


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    below = tmp_path / "file" / "state"
    for folder, says in (
        (tmp_path / "file", f"{tmp_path / 'file'} is a file, not a folder"),
        (below, f"{below} cannot be made: Not a directory"),
        (Path("/proc/gn"), "/proc/gn cannot be made: No such file or directory"),
    ):
        with pytest.raises(StateUnusable) as refused, holding(folder, "plant"):
            raise AssertionError("held nothing")
        assert str(refused.value) == says


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "lock").mkdir()
    with pytest.raises(StateUnusable, match=f"{tmp_path} cannot be written: Is a directory"):
        holding(tmp_path, "plant").__enter__()


def test_a_folder_belongs_to_one_site(tmp_path: Path) -> None:
    with holding(tmp_path, "plant"):
        pass
    with (
        pytest.raises(StateInUse, match="belongs to the site 'plant', this one is 'other'"),
        holding(tmp_path, "other"),
    ):
        raise AssertionError("held another's")
    with holding(tmp_path, "plant"):
        pass
