"""`gridnode call`: run a command of a device and say what came of it.

Exit codes: 0 CONFIRMED, 10 UNCONFIRMED, 11 MISMATCH, 12 REFUSED, 13 FAILED, 1 the node could not be asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

import typer

from address_space.model import Outcome
from node.cli.connect import UrlOption, UserOption, Where, run_client, session
from node.cli.options import USAGE, PasswordFile, SiteOption, fail
from node.cli.values import printable

EXIT_CODES: Final[Mapping[Outcome, int]] = {
    Outcome.CONFIRMED: 0,
    Outcome.UNCONFIRMED: 10,
    Outcome.MISMATCH: 11,
    Outcome.REFUSED: 12,
    Outcome.FAILED: 13,
}


def call(
    device: Annotated[str, typer.Argument(help="Device, for example xw1.")],
    command: Annotated[str, typer.Argument(help="Command, for example StartSell.")],
    inputs: Annotated[list[str] | None, typer.Argument(help="Its inputs, in order.", show_default=False)] = None,
    site: SiteOption = None,
    url: UrlOption = None,
    user: UserOption = None,
    password_file: PasswordFile = None,
) -> None:
    """Run a command as a user with the role Operator or higher; exit code 0 only when it is CONFIRMED."""
    if "." in device:
        fail(f"{device!r} is no device; write: gridnode call DEVICE COMMAND [INPUTS]", USAGE)
    run_client(_call(Where(site, url, user, password_file, must_log_in=True), device, command, inputs or []))


async def _call(where: Where, device: str, command: str, inputs: list[str]) -> None:
    async with session(where) as client:
        answer = await client.call(device, command, inputs)
    print(f"{device}.{command}: {answer.outcome.name} ({answer.status})")
    for name, text in (("observed", answer.observed), ("reason", answer.reason)):
        if text:
            print(f"  {name + ':':10}{printable(text)}")
    print(f"  {'elapsed:':10}{answer.elapsed_s:.3f} s")
    code = EXIT_CODES[answer.outcome]
    if code:
        raise typer.Exit(code)
