"""`gridnode simulate`: the devices of a site without hardware, for a node elsewhere or any other master."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from drivers.base import DriverError
from drivers.simulator import Simulator
from drivers.spec import SerialLine, TcpPeer
from node.cli.options import explained, fail, load_named
from node.cli.run import stop_on_signals, tell
from node.clock import RealClock
from node.logs import configure
from node.site import LoggingConfig, Site, site_buses


def simulate(
    site: Annotated[
        Path | None, typer.Argument(help="Site file with simulate.enabled: true.", envvar="GRIDNODE_SITE")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="In place of the site file's.", show_default=False)] = None,
) -> None:
    """Serve the devices of a site as simulators, on the addresses of its buses, until SIGTERM or Ctrl-C.

    Beside it, `gridnode run --no-simulate SITE` is the node of the same site in a process of its own.
    """
    configure(LoggingConfig(level="WARNING"))
    with explained():
        loaded = load_named(site)
        if not loaded.simulate.enabled:
            # The addresses of a real plant are other machines', or serial ports with devices on them.
            fail(
                f"{loaded.path}: this site is not simulated; say simulate: {{enabled: true}} in a site file of its own"
            )
        configure(loaded.logging)
        try:
            asyncio.run(_simulate(loaded, loaded.simulate.seed if seed is None else seed))
        except (DriverError, ValueError) as error:
            fail(str(error))


async def _simulate(site: Site, seed: int) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    simulator = Simulator(site_buses(site), RealClock(), seed)
    await simulator.start()
    try:
        for bus, units in site_buses(site):
            devices = ", ".join(
                f"{unit.device_id} (unit {unit.unit})" if unit.unit else unit.device_id for unit in units
            )
            print(f"{bus.id}: {_place(bus.link)}: {devices}", flush=True)
        await stop.wait()
    finally:
        await simulator.stop()
    tell("stopped")


def _place(link: SerialLine | TcpPeer | None) -> str:
    if isinstance(link, SerialLine):
        return f"{link.port}, {link.baud} {link.bits}{link.parity}{link.stop_bits}"
    return "-" if link is None else f"{link.host}:{link.port}"
