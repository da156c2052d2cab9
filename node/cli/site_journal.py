"""The journal's file that a command is about."""

from __future__ import annotations

from pathlib import Path

from drivers.problems import ConfigError
from node.cli.options import check_owner, last_site, open_site
from node.historian.file.journal_file import JournalFile
from node.site import Site

NAME = "history.db"  # in the state folder


def opened(site: Path | None, file: Path | None) -> tuple[Site | None, JournalFile]:
    """The journal of a site, or another file, and the site that says what its points are.

    A file of its own needs no site. Ends the command where reading would leave files that the node cannot use: SQLite
    makes some beside a journal that nobody has open. Raises ConfigError and HistoryError.
    """
    if file is None:
        of_site = open_site(site)
        found: Site | None = of_site
        file = of_site.state / NAME
    else:
        found = open_site(site) if site is not None else _site_of(file)
    if file.parent.is_dir():
        check_owner(file.parent)
    return found, JournalFile(file)


def _site_of(file: Path) -> Site | None:
    """The site that was run last, if the file is in its state folder."""
    path = last_site()
    if path is None or not path.is_file():
        return None
    try:
        found = open_site(path)
    except ConfigError:
        return None
    return found if file.parent.resolve() == found.state.resolve() else None
