"""Where the journal's samples go beside the local disk."""

from collections.abc import Callable, Mapping
from typing import Final

from node.sinks.base import Sink, SinkConfig


def _influx(config: SinkConfig, site: str) -> Sink:
    # Its libraries take most of a second to load, and most nodes have no sink.
    from node.sinks.influx import InfluxSink  # noqa: PLC0415

    return InfluxSink(config, site)


# Type in the site file -> what makes the sink out of its configuration and the id of the site.
SINKS: Final[Mapping[str, Callable[[SinkConfig, str], Sink]]] = {
    "influx": _influx,
}
