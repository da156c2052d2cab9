"""ObjectTypes: one per device class, one subtype per profile, and our enumeration.

A screen that is built on `InverterType` works for every brand: the class says what each device of it has, the profile's
type adds what its devices have beyond that. Types are computed on demand like devices; NodeIds are strings in the
model's namespace: `InverterType`, `InverterType.ac_power`, `SchneiderXwType.StartSell`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from asyncua import ua

from address_space import di
from address_space.attributes import type_attributes
from address_space.catalogue import Catalogue
from address_space.classes import CLASSES, ClassSpec, browse_name
from address_space.enumerations import add_enumeration
from address_space.event_types import COMMAND_EVENT_TYPE
from address_space.layout import Layout
from address_space.methods import OUTCOME_TYPE
from address_space.model import OWN_CLASSES, DeviceClass, DeviceModel, device_model
from address_space.shape import (
    GENERATES_EVENT,
    HAS_SUBTYPE,
    MANDATORY,
    NS_MODEL,
    OPTIONAL,
    Link,
    Owner,
    Shape,
    member_id,
    node_id,
)
from address_space.system import OUTCOME, SYSTEM_POINTS, bus_model, node_model, sink_model

OUTCOME_STRINGS: Final = node_id("Outcome.EnumStrings", NS_MODEL)


class TypeOwner:
    """One ObjectType with its instance declarations."""

    namespace = NS_MODEL
    first_slot = None

    def __init__(self, name: str, above: ua.NodeId, layout: Layout) -> None:
        self.id = name
        self.layout = layout
        self.above = above
        self.below: list[TypeOwner] = []

    @property
    def nodeid(self) -> ua.NodeId:
        """NodeId of the ObjectType."""
        return node_id(self.id, NS_MODEL)

    def shape(self, member: str) -> Shape | None:
        """Shape of the type ("") or of one of its instance declarations."""
        if member:
            return self.layout.shape(member)
        name = ua.QualifiedName(self.id, NS_MODEL)
        attributes = type_attributes(ua.NodeClass.ObjectType, name, self.layout.model.description, abstract=False)
        return Shape(
            ua.NodeClass.ObjectType,
            name,
            ua.LocalizedText(self.id, "en"),
            None,
            attributes,
            links=(
                Link(HAS_SUBTYPE, False, self.above),
                *(Link(HAS_SUBTYPE, True, owner.nodeid) for owner in self.below),
                *((Link(GENERATES_EVENT, True, COMMAND_EVENT_TYPE),) if self.layout.model.commands else ()),
                *self.layout.links(),
            ),
        )


class Types:
    """All ObjectTypes of a site: every class, and one subtype per profile that the site uses."""

    def __init__(self, models: Iterable[DeviceModel]) -> None:
        self._owners: dict[str, TypeOwner] = {}
        self._classes: dict[DeviceClass, TypeOwner] = {}
        self._profiles: dict[str, TypeOwner] = {}
        for device_class, spec in CLASSES.items():
            self._classes[device_class] = self._add(type_name(device_class.value), di.DEVICE_TYPE, *_class_layout(spec))
        for model in (bus_model(), sink_model(), node_model()):
            name = type_name(model.device_class.value)
            rules = dict.fromkeys(model.index, MANDATORY)
            self._classes[model.device_class] = self._add(name, di.TOPOLOGY_ELEMENT_TYPE, model, rules)
        by_id: dict[str, list[DeviceModel]] = {}
        for model in models:
            by_id.setdefault(model.id, []).append(model)
        names = Counter([*self._owners, *(type_name(model_id) for model_id in by_id)])
        for model_id, variants in by_id.items():
            name = type_name(model_id)
            # `a.b_c` and `a.b.c` would both be ABCType: then each is called by its id, whatever the order.
            self._add_profile(variants, name if names[name] == 1 else f"{model_id.replace('.', '-')}Type")

    def _add_profile(self, variants: list[DeviceModel], name: str) -> None:
        first = variants[0]
        above = self._classes[first.device_class]
        # Bus, sink and node have one model each; a device without a profile of its own is just of its class.
        if first.device_class in OWN_CLASSES or first.id == first.device_class.value:
            self._profiles[first.id] = above
            return
        owner = self._profiles[first.id] = self._add(name, above.nodeid, *_profile_layout(variants))
        above.below.append(owner)

    def _add(self, name: str, above: ua.NodeId, model: DeviceModel, rules: Mapping[str, ua.NodeId]) -> TypeOwner:
        owner = self._owners[name] = TypeOwner(name, above, Layout(model, None, rules=rules))
        return owner

    def of(self, model: DeviceModel) -> ua.NodeId:
        """Type definition of the devices of a model."""
        return self._profiles[model.id].nodeid

    def add_fixed(self, catalogue: Catalogue) -> None:
        """Add our enumeration, and the references from DI's types to the classes."""
        add_enumeration(catalogue, OUTCOME, OUTCOME_TYPE, OUTCOME_STRINGS, "How a command ended.")
        for owner in self._classes.values():
            catalogue.refer(owner.above, HAS_SUBTYPE, owner.nodeid)

    # --- the directory of the model's namespace

    def find(self, identifier: str) -> tuple[Owner, str, Shape] | None:
        """Owner, member and shape behind a string identifier; None when there is no such node."""
        return find(self._owners, identifier)

    def __iter__(self) -> Iterator[str]:
        for owner in self._owners.values():
            yield owner.id
            yield from (member_id(owner.id, member) for member in owner.layout)

    def __len__(self) -> int:
        return sum(1 + owner.layout.size for owner in self._owners.values())


def find(owners: Mapping[str, Owner], identifier: str) -> tuple[Owner, str, Shape] | None:
    """Split `xw1.ac_power.EURange` at its first dot and look both parts up."""
    head, dot, member = identifier.partition(".")
    owner = owners.get(head)
    if owner is None or (dot and not member):
        return None
    shape = owner.shape(member)
    return None if shape is None else (owner, member, shape)


def type_name(model_id: str) -> str:
    """Name of a type: `fuel_cell` is `FuelCellType`, `schneider.xw` is `SchneiderXwType`."""
    return browse_name(re.sub(r"[^0-9A-Za-z]+", "_", model_id)) + "Type"


def _class_layout(spec: ClassSpec) -> tuple[DeviceModel, Mapping[str, ua.NodeId]]:
    own = {entry.point.id for entry in spec.points}
    model = device_model(
        spec.device_class.value,
        spec.device_class,
        [*(entry.point for entry in spec.points), *(point for point in SYSTEM_POINTS if point.id not in own)],
        [entry.command for entry in spec.commands],
        description=" ".join(filter(None, (spec.description, spec.signs))),
    )
    rules = {entry.point.id: MANDATORY for entry in spec.points if entry.mandatory}
    rules |= {entry.command.id: MANDATORY for entry in spec.commands if entry.mandatory}
    rules |= {point.id: MANDATORY for point in SYSTEM_POINTS}
    return model, rules


def _profile_layout(variants: list[DeviceModel]) -> tuple[DeviceModel, Mapping[str, ua.NodeId]]:
    """What the devices of a profile have, whatever parameters the site gave them; mandatory is what all have."""
    first = variants[0]
    points = {point.id: point for model in reversed(variants) for point in reversed(model.points)}
    commands = {command.id: command for model in reversed(variants) for command in reversed(model.commands)}
    model = device_model(
        first.id,
        first.device_class,
        list(reversed(points.values())),
        list(reversed(commands.values())),
        manufacturer=first.manufacturer,
        model=first.model,
        description=first.description,
    )
    everywhere = [{*variant.index, *(command.id for command in variant.commands)} for variant in variants]
    rules = {
        member: MANDATORY if all(member in names for names in everywhere) else OPTIONAL
        for member in (*points, *commands)
    }
    return model, rules
