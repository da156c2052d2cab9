"""Devices without hardware: any profile served over the real protocols, with a believable life and faults on demand."""

from drivers.simulator.simulator import Simulator

__all__ = ["Simulator"]
