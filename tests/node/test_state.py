"""One node a state folder."""

import os
import re
from pathlib import Path

import pytest

from node.state import StateInUse, holding


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
    with pytest.raises(OSError, match="file"), holding(tmp_path / "file" / "state", "plant"):
        raise AssertionError("held nothing")


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
