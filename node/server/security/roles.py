"""The well-known roles of OPC UA that stand for ours."""

from __future__ import annotations

from node.roles import Role

# NodeIds (i=, namespace 0) of the well-known roles, OPC 10000-3 section 4.9.2, ids of OPC 10000-6 annex A.
ANONYMOUS_ID = 15644
AUTHENTICATED_USER_ID = 15656
_GRANTED: dict[Role, tuple[int, ...]] = {
    Role.OBSERVER: (15668,),
    Role.OPERATOR: (15680,),
    Role.ENGINEER: (16036,),
    Role.ADMIN: (15716, 15704),  # ConfigureAdmin, SecurityAdmin
}


def own_role_ids(role: Role) -> tuple[int, ...]:
    """Numeric ids of the OPC UA roles that stand for one of ours alone."""
    return _GRANTED[role]


def well_known_role_ids(role: Role | None) -> tuple[int, ...]:
    """Numeric ids of the OPC UA roles that a session has; None is an anonymous session without any of ours."""
    if role is None:
        return (ANONYMOUS_ID,)
    granted = (id_ for each in Role if each <= role for id_ in _GRANTED[each])
    return (ANONYMOUS_ID, AUTHENTICATED_USER_ID, *granted)
