import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from address_space.nodes import NodeMap
from node.historian.journal import Journal
from tests.fake_clock import FakeClock
from tests.node.server.history.house import House, build_nodes, make_image


@pytest.fixture(scope="session")
def nodes() -> NodeMap:
    """The address space of the plant; a NodeId tells a slot, and every image of these devices has the same."""
    return asyncio.run(build_nodes())


@pytest.fixture
async def house(tmp_path: Path, clock: FakeClock, nodes: NodeMap) -> AsyncIterator[House]:
    image = make_image(clock)
    journal = Journal(tmp_path / "history.db", image, clock)
    image.tap(journal.offer)
    await journal.flush()
    yield House(image, journal, nodes, clock)
    await journal.stop()
