"""What a user may do: four roles, each of which may do all that the ones before it may."""

from __future__ import annotations

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


# NodeIds (i=, namespace 0) of the well-known roles, OPC 10000-3 section 4.9.2, ids of OPC 10000-6 annex A.
ANONYMOUS_ID = 15644
AUTHENTICATED_USER_ID = 15656
_GRANTED: dict[Role, tuple[int, ...]] = {
    Role.OBSERVER: (15668,),
    Role.OPERATOR: (15680,),
    Role.ENGINEER: (16036,),
    Role.ADMIN: (15716, 15704),  # ConfigureAdmin, SecurityAdmin
}


def parse_role(text: str) -> Role:
    """Role of a name in any case; raises ValueError that says what is allowed."""
    for role in Role:
        if role.label.lower() == text.strip().lower():
            return role
    raise ValueError(f"{text!r} is no role; allowed: {', '.join(role.label for role in Role)}")


def own_role_ids(role: Role) -> tuple[int, ...]:
    """Numeric ids of the OPC UA roles that stand for one of ours alone."""
    return _GRANTED[role]


def well_known_role_ids(role: Role | None) -> tuple[int, ...]:
    """Numeric ids of the OPC UA roles that a session has; None is an anonymous session without any of ours."""
    if role is None:
        return (ANONYMOUS_ID,)
    granted = (id_ for each in Role if each <= role for id_ in _GRANTED[each])
    return (ANONYMOUS_ID, AUTHENTICATED_USER_ID, *granted)
