"""The course of a command: what of its spec is the same each time that it is carried out. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile

from drivers.base import Priority
from drivers.spec import CommandSpec, Step, Write
from node.control.conditions import points_of


@dataclass(frozen=True, slots=True)
class Course:
    """A command, taken apart."""

    spec: CommandSpec
    priority: Priority
    leading: tuple[Write, ...]  # its first steps, as far as they are writes: one burst
    others: tuple[Step, ...]
    required: tuple[str, ...]  # points of its precondition
    confirming: tuple[str, ...]  # points that show its effect


def course_of(spec: CommandSpec) -> Course:
    """Take a command apart."""
    leading = tuple(takewhile(_is_write, spec.steps))
    return Course(
        spec,
        Priority.EMERGENCY if spec.emergency else Priority.COMMAND,
        tuple(step for step in leading if isinstance(step, Write)),
        spec.steps[len(leading) :],
        points_of(spec.requires),
        () if spec.confirm is None else points_of(spec.confirm.conditions),
    )


def _is_write(step: Step) -> bool:
    return isinstance(step, Write)
