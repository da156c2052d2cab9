"""What monitored items take of the server's memory."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Stock:
    """Of one subscription, or of all together."""

    items: int = 0
    places: int = 0  # for values that wait in queues, beside the one that each item has anyway

    def take(self, items: int, places: int) -> None:
        """Count what comes, or with negative numbers what goes."""
        self.items += items
        self.places += places
