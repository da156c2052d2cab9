"""Where the journal's samples go beside the local disk."""

from collections.abc import Callable, Mapping
from typing import Final

from node.historian.history import History
from node.sinks.base import ClosingHistory, Sink, SinkConfig
from node.sinks.influx_config import InfluxConfig

# The libraries of a sink take most of a second to load, and most nodes have none.


def _influx(config: SinkConfig, site: str) -> Sink:
    from node.sinks.influx import InfluxSink  # noqa: PLC0415

    return InfluxSink(config, site)


# Type in the site file -> what makes the sink out of its configuration and the id of the site.
SINKS: Final[Mapping[str, Callable[[SinkConfig, str], Sink]]] = {
    "influx": _influx,
}


def deep_history(local: History, config: SinkConfig, site: str) -> ClosingHistory:
    """History that goes on before the local one in what a sink has got; TypeError for a sink that cannot be read."""
    from node.sinks.influx_history import DeepHistory, InfluxArchive  # noqa: PLC0415

    if not isinstance(config, InfluxConfig):
        raise TypeError(f"sink {config.id} cannot be read back")
    return DeepHistory(local, InfluxArchive(config, site))
