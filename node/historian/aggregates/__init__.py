"""The standard aggregates of OPC 10000-13 over raw history, and interpolation at given times.

Pure: no clock, no OPC UA library. `reading` drives the engine over a RawPages; everything else does no I/O.
"""

from node.historian.aggregates.aggregate import Aggregate, ResultType
from node.historian.aggregates.aggregation import Aggregation
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.errors import (
    AggregateError,
    Cancelled,
    ConfigurationRejected,
    InvalidInputs,
    RequestRefused,
)
from node.historian.aggregates.reading import at_time, processed
from node.historian.aggregates.result import Result

__all__ = [
    "Aggregate",
    "AggregateError",
    "Aggregation",
    "Cancelled",
    "Configuration",
    "ConfigurationRejected",
    "InvalidInputs",
    "RequestRefused",
    "Result",
    "ResultType",
    "at_time",
    "processed",
]
