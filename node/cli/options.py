"""What commands share: which site they are about, how they end, how they ask for a password.

Exit codes: 0 done, 1 it could not be done (the reason is on standard error), 2 wrong words on the command line.
"""

from __future__ import annotations

import getpass
import os
import pwd
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from drivers.problems import ConfigError
from node.config import load_site
from node.historian.history import HistoryError
from node.identity import own_folder
from node.logs import configure
from node.server.security.certificate import CertificateError
from node.server.security.trust import TrustError
from node.server.security.users import MIN_PASSWORD_CHARS, UserError, UsersFileError
from node.site import LoggingConfig, Site

# Why a site file is taken that nobody named.
RAN_LAST: Final = "which you ran last; name another one by --site FILE or GRIDNODE_SITE"
FAILED = 1
USAGE = 2

SiteOption = Annotated[
    Path | None,
    typer.Option(
        "--site",
        envvar="GRIDNODE_SITE",
        help="Site file; by default the one that you ran last.",
        dir_okay=False,
        show_default=False,
    ),
]
PasswordFile = Annotated[
    Path | None,
    typer.Option(
        "--password-file",
        help="File with the password; without it GRIDNODE_PASSWORD, else you are asked.",
        dir_okay=False,
        show_default=False,
    ),
]


def fail(text: str, code: int = FAILED) -> NoReturn:
    """Say why on standard error and end."""
    print(f"gridnode: {text}", file=sys.stderr)
    raise typer.Exit(code)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what a command cannot do into its reason and exit code 1."""
    try:
        yield
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        fail(f"{_many(len(error.problems), 'problem')}; nothing was changed")
    except (CertificateError, TrustError, UserError, UsersFileError, HistoryError) as error:
        fail(str(error))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}")


def open_site(given: Path | None) -> Site:
    """The site that a command is about; ends the command when there is none or its file has problems."""
    configure(LoggingConfig(level="WARNING"))
    return load_named(given)


def load_named(given: Path | None) -> Site:
    """The site of the given file, else of the one that this user ran last. Raises ConfigError, after saying which."""
    path = site_path(given)
    try:
        return load_site(path)
    except ConfigError:
        if given is None:
            print(f"gridnode: the site file is {path}, {RAN_LAST}", file=sys.stderr)
        raise


def site_path(given: Path | None) -> Path:
    """The site file: the given one (or GRIDNODE_SITE), else the one that this user ran last."""
    if given is not None:
        return given
    path = last_site()
    if path is None:
        fail("which site? Name its file by --site FILE or GRIDNODE_SITE", USAGE)
    if not path.is_file():
        fail(f"{path}, which you ran last, is gone; name a site file by --site FILE or GRIDNODE_SITE", USAGE)
    return path


def program() -> str:
    """How to start this program from this folder, quoted for a shell."""
    started = Path(sys.argv[0])
    return "gridnode" if shutil.which("gridnode") or started.name != "gridnode" else shlex.quote(str(started))


def site_words(site: Site) -> str:
    """The words that make another command be about this site, wherever it is typed; quoted for a shell."""
    return f" --site {shlex.quote(str(site.path.absolute()))}"


def last_site() -> Path | None:
    """The site file that this user ran last; it may be gone."""
    try:
        return Path((own_folder() / "site").read_text("utf-8").rstrip("\n"))
    except (OSError, UnicodeDecodeError):
        return None


def remember_site(path: Path) -> None:
    """Make a site file the one that this user ran last. Raises OSError."""
    folder = own_folder()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "site").write_text(f"{path.absolute()}\n", "utf-8")


def check_owner(folder: Path) -> None:
    """End the command where it would leave files that the node itself could not read afterwards."""
    if os.geteuid() != 0:
        return  # what belongs to others is closed to it anyway
    folder = _existing(folder)
    owner = folder.stat().st_uid
    if owner != 0:
        name = _user_name(owner)
        fail(f"{folder} belongs to {name}; run this as that user: sudo -u {name} gridnode ...")


def check_writable(folder: Path, site: Site) -> None:
    """End the command where its user may not write in the state or PKI folder of a site, or may not make it."""
    key = "state" if folder.is_relative_to(site.state) else "pki"
    folder = _existing(folder)
    if not folder.is_dir():
        fail(f"{site.path}: {key}: {folder} is a file, not a folder; set `{key}:` to another one")
    if os.access(folder, os.W_OK | os.X_OK):
        return
    name, owner = _user_name(os.geteuid()), folder.stat().st_uid
    if owner == os.geteuid():
        text = f"{name}'s own: chmod u+wx {shlex.quote(str(folder))}"
    else:
        text = f"which belongs to {_user_name(owner)}: run this as that user, chown the folder"
    fail(f"{site.path}: {key}: user {name} cannot write in {folder}, {text}, or set `{key}:` to another one")


def password(file: Path | None, user: str, *, new: bool) -> str:
    """A password from the file, GRIDNODE_PASSWORD or the terminal; a new one is asked for twice."""
    if file is not None:
        return file.read_text("utf-8").rstrip("\r\n")
    given = os.environ.get("GRIDNODE_PASSWORD")
    if given is not None:
        return given
    if not sys.stdin.isatty():
        fail("there is no terminal to ask for the password: use --password-file or GRIDNODE_PASSWORD", USAGE)
    rule = f", {MIN_PASSWORD_CHARS} characters or more" if new else ""
    word = getpass.getpass(f"{'New password' if new else 'Password'} of {user}{rule}: ")
    if new and getpass.getpass("Once more: ") != word:
        fail("the two differ; nothing was changed")
    return word


def _existing(folder: Path) -> Path:
    """A folder, or the nearest one above it that is there and can be seen."""
    while not os.access(folder, os.F_OK) and folder != folder.parent:
        folder = folder.parent
    return folder


def _user_name(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"#{number}"


def _many(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"
