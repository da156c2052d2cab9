import re

import pytest

from address_space.units import UNITS, unit_id

# Worked out by hand from the rule of OPC 10000-8 section 5.6.3; CEL is the example that is quoted everywhere.
BY_HAND = {"degC": 4408652, "V": 5655636, "%": 20529, "kWh": 4937544, "mA": 13387, "W": 5723220}


@pytest.mark.parametrize(("symbol", "expected"), BY_HAND.items())
def test_unit_id_follows_from_the_unece_code(symbol: str, expected: int) -> None:
    assert UNITS[symbol].unit_id == expected


def test_codes_are_unique_and_well_formed() -> None:
    codes = [unit.code for unit in UNITS.values()]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch("[0-9A-Z]{2,3}", code) for code in codes)
    assert all(unit.description for unit in UNITS.values())


@pytest.mark.parametrize("code", ["", "KWHX", "°C", "A B"])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="no UNECE common code"):
        unit_id(code)
