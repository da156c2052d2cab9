"""`gridnode check` and `gridnode schema`: is a file right, and what may stand in it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from address_space.system import SYSTEM_POINTS
from drivers.problems import ConfigError
from drivers.profile import load_profile, profile_schema
from node.cli.options import FAILED, USAGE, fail
from node.config import check_site, site_schema
from node.site import Site


class SchemaOf(StrEnum):
    """What `gridnode schema` can describe."""

    SITE = "site"
    PROFILE = "profile"


def check(
    site: Annotated[Path | None, typer.Argument(help="Site file.", show_default=False)] = None,
    profile: Annotated[
        list[Path] | None, typer.Option("--profile", help="Profile file to check.", show_default=False)
    ] = None,
) -> None:
    """Check a site file or profiles; says every problem with its line. Starts nothing, changes nothing."""
    if site is None and not profile:
        fail("name a site file, or a profile by --profile FILE", USAGE)
    failed = False
    for path in profile or []:
        failed |= not _check_profile(path)
    if site is not None:
        failed |= not _check_site(site)
    if failed:
        raise typer.Exit(FAILED)


def schema(
    of: Annotated[SchemaOf, typer.Argument(help="Which file the schema is for.")] = SchemaOf.SITE,
) -> None:
    """Print the JSON Schema of site files or profiles, for editors."""
    print(json.dumps(site_schema() if of is SchemaOf.SITE else profile_schema(), indent=2, ensure_ascii=False))


def summary(site: Site) -> str:
    """One line about the size of a site."""
    own = sum(point in SYSTEM_POINTS for device in site.devices for point in device.model.points)
    points = sum(len(device.model.points) for device in site.devices) - own
    kept = sum(point.historize for device in site.devices for point in device.model.points)
    controlled = [device.id for device in site.devices if device.control]
    shown = ", ".join(controlled[:5]) + (" ..." if len(controlled) > 5 else "")
    return (
        f"{_many(len(site.devices), 'device')} on {_many(len(site.buses), 'bus', 'es')}, "
        f"{points} points and {own} of the node's own about them, {kept} historized; "
        f"control: {shown or 'none'}"
    )


def _check_site(path: Path) -> bool:
    try:
        checked = check_site(path)
    except ConfigError as error:
        _say(error)
        return False
    for warning in checked.warnings:
        print(f"{warning} (warning)")
    print(f"{path}: ok: {summary(checked.site)}")
    return True


def _check_profile(path: Path) -> bool:
    try:
        profile = load_profile(path)
    except ConfigError as error:
        _say(error)
        return False
    model = profile.model
    own = sum(point in SYSTEM_POINTS for point in model.points)
    print(
        f"{path}: ok: {profile.id} {profile.version}, {len(model.points) - own} points of the profile and {own} of the "
        f"node's own, {len(model.commands)} commands"
    )
    return True


def _say(error: ConfigError) -> None:
    for problem in error.problems:
        print(problem)
    print(_many(len(error.problems), "problem"))


def _many(count: int, word: str, plural: str = "s") -> str:
    return f"{count} {word}{'' if count == 1 else plural}"
