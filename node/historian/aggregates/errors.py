"""What can be wrong with a request for aggregates.

AggregateError           the request cannot be answered
├── RequestRefused         the times or the interval make no intervals (Bad_InvalidArgument)
├── ConfigurationRejected  the configuration contradicts itself (Bad_AggregateConfigurationRejected)
├── InvalidInputs          the aggregate calculates, and the tag holds text (Bad_AggregateInvalidInputs)
└── Cancelled              the caller asked to stop
"""


class AggregateError(Exception):
    """The request cannot be answered; the text says why."""


class RequestRefused(AggregateError):
    """No intervals follow from the times and the processing interval."""


class ConfigurationRejected(AggregateError):
    """The configuration contradicts itself."""


class InvalidInputs(AggregateError):
    """The aggregate calculates with numbers, and a value is not one."""


class Cancelled(AggregateError):
    """The caller asked to stop; what was given so far holds."""
