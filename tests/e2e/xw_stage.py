"""Sets a C slave up as an XW that is about to get one command; knows the facts and the slave, and no profile."""

from __future__ import annotations

from tests.e2e.slave import Slave
from tests.e2e.xw_facts import CommandFact


async def stage(slave: Slave, unit: int, fact: CommandFact, after_s: float = 0.0) -> None:
    """Put the unit into the state before the command; its status registers will follow the writes after `after_s`."""
    for address, words in fact.before.items():
        await slave.set(unit, address, *words)
    for address in {effect.address for effect in fact.effects}:
        await slave.unlink(unit, address)
    for effect in fact.effects:
        await slave.link(unit, effect.address, effect.value, effect.status_address, effect.status, after_s=after_s)


async def confirmed(slave: Slave, unit: int, fact: CommandFact) -> bool:
    """Whether the unit's status registers prove the command now."""
    registers = await slave.dump(unit)
    return all(registers[address] in words for address, words in fact.confirms.items())
