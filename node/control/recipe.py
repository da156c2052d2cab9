"""A command of a device: what is known of it before anybody calls it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from address_space.model import Command, Device, Value
from drivers.spec import CommandSpec, Profile, Run
from node.control.bounds import Bounds, bounds_of
from node.control.conditions import Arguments, Phrase, phrase_of
from node.control.course import Course, course_of


@dataclass(frozen=True, slots=True)
class Recipe:
    """One command as the profile has it."""

    command: Command
    spec: CommandSpec
    bounds: Bounds  # of its arguments
    names: tuple[str, ...]  # of its arguments
    writes: frozenset[str]  # points that it writes, with the commands that it runs and what it keeps alive
    course: Course
    effect: tuple[Phrase, ...]  # what proves it, as an operator reads it

    def named(self, values: Sequence[Value]) -> Arguments:
        """The arguments of a call by name."""
        return dict(zip(self.names, values, strict=True))

    def wanted(self, arguments: Arguments) -> str:
        """The effect that proves a call with these arguments, as text; the command's id when nothing does."""
        effect = self.effect
        if len(effect) == 1:
            return effect[0].text(arguments)
        return ", ".join([phrase.text(arguments) for phrase in effect]) if effect else self.spec.id


def recipe_of(device: Device, profiles: Mapping[str, Profile], command_id: str) -> Recipe:
    """What is known of a command; `profiles` are by device. Raises KeyError for one that the device does not have."""
    for command in device.model.commands:
        if command.id == command_id:
            profile = profiles[device.id]
            spec = profile.commands[command_id]
            kinds = [(each.data_type, each.range, each.enumeration) for each in command.inputs]
            names = tuple(each.name for each in command.inputs)
            proofs = () if spec.confirm is None else spec.confirm.conditions
            effect = tuple(phrase_of(device.model, condition) for condition in proofs)
            return Recipe(command, spec, bounds_of(kinds), names, _written(profile, spec), course_of(spec), effect)
    raise KeyError(f"{device.id} has no command {command_id}")


def _written(profile: Profile, spec: CommandSpec) -> frozenset[str]:
    points: set[str] = set()
    for step in spec.steps:
        if isinstance(step, Run):
            points |= _written(profile, profile.commands[step.command])
        else:
            points.add(step.point)
    if spec.keep_alive is not None:
        points |= {write.point for write in (*spec.keep_alive.writes, *spec.keep_alive.farewell)}
    return frozenset(points)
