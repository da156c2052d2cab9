"""Who asks, and what a user may do: four roles, each of which may do all that the ones before it may."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Role(IntEnum):
    """Role of a user; compare with `>=`, for example `role >= Role.OPERATOR`."""

    OBSERVER = 1  # browses, reads, subscribes, reads history
    OPERATOR = 2  # and calls commands
    ENGINEER = 3  # and writes settings
    ADMIN = 4  # and administers; stands for ConfigureAdmin and SecurityAdmin

    @property
    def label(self) -> str:
        """Name in files, on the command line and in the log, for example `Observer`."""
        return self.name.capitalize()


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the user of a session and the role that the session has."""

    user: str
    role: Role


def parse_role(text: str) -> Role:
    """Role of a name in any case; raises ValueError that says what is allowed."""
    for role in Role:
        if role.label.lower() == text.strip().lower():
            return role
    raise ValueError(f"{text!r} is no role; allowed: {', '.join(role.label for role in Role)}")
