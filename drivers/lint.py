"""Rules of a profile that span its entries. Pure: everything is said to the draft, with a line."""

from __future__ import annotations

from drivers.profile_draft import Draft
from drivers.spec import Simulation


def lint(draft: Draft, simulation: Simulation | None) -> None:
    """Note every rule that the profile breaks."""
