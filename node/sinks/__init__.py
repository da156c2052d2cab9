"""Where the journal's samples go beside the local disk."""

from collections.abc import Callable, Mapping
from typing import Final

from node.sinks.base import Sink, SinkConfig
from node.sinks.influx import InfluxSink

# Type in the site file -> what makes the sink out of its configuration and the id of the site.
SINKS: Final[Mapping[str, Callable[[SinkConfig, str], Sink]]] = {
    "influx": InfluxSink,
}
