"""The list of protocols is whole, and costs nothing before a bus needs one of them."""

import subprocess
import sys

import pytest

from address_space.image import ProcessImage
from drivers import DRIVERS
from drivers.spec import BusConfig
from tests.fake_clock import FakeClock


@pytest.mark.parametrize("name", DRIVERS)
def test_every_name_leads_to_a_protocol_which_wants_a_channel(name: str) -> None:
    clock = FakeClock()
    with pytest.raises(ValueError, match="bus x"):
        DRIVERS[name](BusConfig("x", name, None), (), ProcessImage([], clock), clock)


def test_the_list_alone_imports_no_protocol_and_no_library() -> None:
    code = "import sys, drivers; print(*(n for n in ('drivers.modbus', 'pymodbus', 'serial') if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
