"""A small profile that is right, and changes to it that make it wrong."""

from pathlib import Path

import pytest

from address_space.model import Value
from drivers.problems import ConfigError, Problem
from drivers.profile import load_profile
from drivers.spec import Profile

RIGHT = """\
schema: gridnode/profile@1
id: test.inverter
version: 1.2.3
device: {class: inverter, manufacturer: Test, model: One}
provenance: {level: documented, sources: [a paper]}
protocol: modbus
modbus: {max_read: 60, barriers: [200]}
parameters:
  top: {type: number, default: 50, range: [1, 100], unit: A, description: Highest current.}
  quick: {type: duration, default: 1s, range: [0.1, 10], description: Between two reads.}
  extra: {type: flag, default: false, description: One step more.}
enumerations:
  Mode: {2: Standby, 3: Operating}
groups: {fast: $quick, slow: 60s, once: start}
defaults: {type: u16, group: fast}
points:
  state: {addr: 10, map: {1: Standby, 2: Inverting, 3: Fault}}
  raw_state: {addr: 10, enum: {1: Rest, 2: Work, 3: Trip}}
  ac_power: {addr: 12, type: i32}
  ac_voltage: {addr: 14, scale: 0.1, range: [0, 300]}
  ac_frequency: {addr: 15, scale: 0.01}
  lamp: {addr: 16, kind: flag}
  serial: {addr: 20, type: text, registers: 4, group: once}
  mode: {addr: 30, enum: Mode, access: rw, write: {storage: persistent}}
  amps: {addr: 31, scale: 0.1, unit: A, range: [0, $top], access: rw, write: {storage: volatile}, group: slow}
  word: {addr: 32, type: bits16, access: command}
  trigger: {addr: 40, enum: {1: Go}, access: w, write: {storage: volatile}}
commands:
  Operating:
    steps: [{set: mode, to: Operating}]
    confirm: {all: [{point: raw_state, eq: Work}], within: 10s}
  Standby:
    emergency: true
    steps: [{set: mode, to: Standby}]
    confirm: {all: [{point: raw_state, in: [Rest, Trip]}], within: 10s}
    keep_alive: {every: 1s, writes: [{set: word, to: 1}], until: [{point: lamp, eq: true}]}
  SetAmps:
    description: Set the current.
    inputs: {amps: {type: number, unit: A, range: [0, $top]}}
    requires: [{point: raw_state, ne: Trip, else: BadInvalidState}]
    steps: [{set: amps, to: $amps}, {run: Operating, when: $extra}]
    confirm: {all: [{point: amps, eq: $amps, tolerance: 0.1}], within: 5s, every: 500ms}
identify: [{point: ac_frequency, between: [40, 70]}]
simulate:
  physics: inverter
  initial: {raw_state: Work, mode: Operating}
  links: [{on_write: mode, eq: Standby, after: 1s, set: {raw_state: Rest}}]
"""


def load_text(folder: Path, text: str, **parameters: Value) -> Profile:
    """The profile of a text."""
    path = folder / "p.yaml"
    path.write_text(text)
    return load_profile(path, parameters)


def changed(old: str, new: str) -> str:
    """RIGHT with one place changed; the place must be there once."""
    assert RIGHT.count(old) == 1, f"{old!r} stands {RIGHT.count(old)} times"
    return RIGHT.replace(old, new)


def problems_of(folder: Path, text: str, **parameters: Value) -> list[Problem]:
    """What is wrong with a text; fails the test when nothing is."""
    with pytest.raises(ConfigError) as caught:
        load_text(folder, text, **parameters)
    return list(caught.value.problems)
