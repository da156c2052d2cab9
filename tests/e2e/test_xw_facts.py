"""The facts about the XW agree with themselves: what goes over the wire leads to what proves the command."""

from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from tests.e2e.slave import Slave, write_image
from tests.e2e.xw_facts import (
    ACTIVE_TIME,
    COMMANDS,
    READ_ROWS,
    SETTINGS,
    STOP_SELL_TO_STANDBY,
    CommandFact,
    Gateway,
    image,
    unexpected,
)
from tests.e2e.xw_stage import confirmed, stage

pytestmark = pytest.mark.e2e

UNIT = 10
FACTS = (*COMMANDS, STOP_SELL_TO_STANDBY)


def test_no_register_belongs_to_two_rows() -> None:
    taken = [
        row.address + offset for row in (*READ_ROWS, *ACTIVE_TIME, *SETTINGS) for offset in range(len(row.insight))
    ]
    assert len(taken) == len(set(taken))


def test_the_gateways_differ_in_word_order_alone() -> None:
    for row in (*READ_ROWS, *SETTINGS):
        if len(row.insight) <= 2:
            assert row.combox == row.insight[::-1], row


@pytest.mark.parametrize("gateway", Gateway)
@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: f"{fact.name}_{len(fact.writes)}")
async def test_the_writes_of_a_command_lead_to_what_confirms_it(
    slave_program: Path, tmp_path: Path, fact: CommandFact, gateway: Gateway
) -> None:
    path = write_image(tmp_path / "image.txt", image(UNIT, gateway))
    async with Slave(slave_program, path) as slave:
        await stage(slave, UNIT, fact)
        assert not await confirmed(slave, UNIT, fact)
        client = AsyncModbusTcpClient("127.0.0.1", port=slave.port, retries=0)
        assert await client.connect()
        for wire in fact.writes:
            words = wire.words(gateway)
            if wire.function == 6:
                answer = await client.write_register(wire.address, words[0], device_id=UNIT)
            else:
                answer = await client.write_registers(wire.address, list(words), device_id=UNIT)
            assert not answer.isError()
        client.close()
        assert await confirmed(slave, UNIT, fact)
        frames = [(w.function, w.address, w.words) for w in await slave.until_writes(len(fact.writes))]
        assert unexpected(fact, gateway, frames) is None
        assert unexpected(fact, gateway, frames[:-1] if len(frames) == 1 else frames[::-1]) is not None
        assert unexpected(fact, gateway, [*frames, (6, 0x0167, (0,))]) is not None
