"""What the tests over real sockets share."""

from pathlib import Path

import pytest

from tests.e2e.slave.program import build


@pytest.fixture(scope="session")
def slave_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled C slave on libmodbus; see tests/e2e/slave."""
    return build(tmp_path_factory.mktemp("slave"))
