"""An InfluxDB sink of a site file as frozen data, and where its secrets are read."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final

from node.sinks.base import SinkConfig, SinkError

_SECRET_BYTES: Final = 4096


class Api(StrEnum):
    """Which of InfluxDB's ways of writing is used."""

    AUTO = "auto"  # v1 for servers that say they are before 1.8, else v2
    V1 = "v1"  # /write
    V2 = "v2"  # /api/v2/write, by influxdb-client


@dataclass(frozen=True, slots=True)
class Secret:
    """Where a secret stands; never the secret itself."""

    file: Path | None = None
    variable: str | None = None  # of the environment

    @property
    def place(self) -> str:
        """How the site file names it, behind `token_` or `password_`: file (where), env (which)."""
        return f"env ({self.variable})" if self.file is None else f"file ({self.file})"

    def read(self) -> str:
        """The secret, without white space around it. Raises SinkError, which says where it was looked for."""
        if self.file is not None:
            try:
                with self.file.open("rb") as opened:
                    text = opened.read(_SECRET_BYTES).decode("utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is no text"
                raise SinkError(f"{self.file} cannot be read: {reason}") from None
            where = str(self.file)
        else:
            text = os.environ.get(self.variable or "", "").strip()
            where = f"the environment variable {self.variable}"
            if not text:
                raise SinkError(f"{where} is not set or empty")
        if not text or not text.isprintable():
            raise SinkError(f"{where} is empty or has more than one line")
        return text


@dataclass(frozen=True, slots=True)
class InfluxConfig(SinkConfig):
    """How to reach one InfluxDB (1.x, 2.x, 3.x) or what speaks like it."""

    type: str = "influx"
    url: str = "http://127.0.0.1:8086"  # without user and password
    bucket: str = ""  # 1.x: database, or database/retention policy
    org: str = ""
    api: Api = Api.AUTO
    token: Secret | None = None
    user: str = ""
    password: Secret | None = field(default=None, repr=False)
    ca_file: Path | None = None
    timeout_s: float = 10.0
    gzip: bool = True

    @property
    def shown_url(self) -> str:
        """The address for people; should there be credentials in it, without them."""
        head, mark, rest = self.url.rstrip("/").partition("://")
        host, slash, path = rest.partition("/")
        return f"{head}{mark}{host.rpartition('@')[2]}{slash}{path}"

    @property
    def target(self) -> str:
        """See `SinkConfig.target`."""
        organization = f" of {self.org}" if self.org else ""
        return f"InfluxDB at {self.shown_url}, bucket {self.bucket}{organization}"

    @property
    def database(self) -> str:
        """Name of the database in InfluxQL and /write."""
        return self.bucket.partition("/")[0]

    @property
    def retention_policy(self) -> str:
        """Name of the retention policy; empty for the database's default."""
        return self.bucket.partition("/")[2]
