"""Logging is global: whoever sets it up in a test puts it back."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def restored_logging() -> Iterator[None]:
    """Handlers and levels as they were before."""
    root = logging.getLogger()
    handlers = list(root.handlers)
    names = ["", *logging.Logger.manager.loggerDict]
    levels = {name: logging.getLogger(name).level for name in names}
    try:
        yield
    finally:
        root.handlers[:] = handlers
        for name in {*levels, *logging.Logger.manager.loggerDict}:
            logging.getLogger(name).setLevel(levels.get(name, logging.NOTSET))
        logging.captureWarnings(capture=False)
