"""The settings: one frozen model per table of `raincheck.toml`.

`Settings.profile(address)` gives what holds for one recipient: the tables as they stand, narrowed
by the first `[[recipients]]` entry whose `match` fits.
"""

from __future__ import annotations

import fnmatch
from datetime import time, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    field_validator,
    model_validator,
)

from config import units
from config.units import Endpoint, Hours

Duration = Annotated[timedelta, BeforeValidator(units.duration)]
Limit = Annotated[
    Duration, AfterValidator(lambda limit: units.at_least(limit, timedelta(seconds=1)))
]
Spacing = Annotated[
    Duration, AfterValidator(lambda pause: units.at_least(pause, timedelta(days=7)))
]
Size = Annotated[int, BeforeValidator(units.size)]
Address = Annotated[Endpoint, BeforeValidator(units.endpoint)]
Clock = Annotated[time, BeforeValidator(units.clock)]
Span = Annotated[Hours, BeforeValidator(units.hours)]
Domain = Annotated[str, BeforeValidator(units.domain)]
Hostname = Annotated[str, BeforeValidator(units.hostname)]
Network = Annotated[IPv4Network | IPv6Network, BeforeValidator(units.network)]
Probability = Annotated[float, AfterValidator(units.probability)]

NARROWED = ("thresholds", "folder", "answers", "digest")
"""The tables a `[[recipients]]` entry may narrow."""


class Table(BaseModel):
    """A table of the file: unknown keys are faults, values never change after loading."""

    # hide_input_in_errors: pydantic prints sibling values, so a fault would show a password.
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Relay(Table):
    """[relay]: who may hand us mail, and where."""

    listen: Address = Endpoint("127.0.0.1", 2525)
    hostname: Hostname = "gateway.example.com"
    domains: Annotated[tuple[Domain, ...], Field(min_length=1)] = ("example.com",)
    clients: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))
    max_message_size: Size = 25 * 2**20
    max_recipients: Annotated[int, Field(ge=1, le=1000)] = 100
    max_connections: Annotated[int, Field(ge=1)] = 200
    timeout: Limit = timedelta(minutes=5)
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    bare_newlines: Literal["normalise", "refuse"] = "normalise"
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    authserv_ids: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _both_tls_files(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("give tls_certificate and tls_key together, or neither")
        return self

    def allows(self, address: str) -> bool:
        """Whether a client at this IP address may hand us mail. An IPv4-mapped one counts as v4."""
        ip = ip_address(address.partition("%")[0])
        ip = getattr(ip, "ipv4_mapped", None) or ip
        return any(ip in network for network in self.clients)


class NextHop(Table):
    """[next_hop]: where mail goes that is delivered."""

    kind: Literal["smtp", "lmtp", "maildir"] = "maildir"
    address: Address = Endpoint("127.0.0.1", 10026)
    path: Path = Path("var/mail")
    tls: Literal["off", "opportunistic", "required"] = "off"
    tls_ca: Path | None = None
    timeout: Limit = timedelta(minutes=2)


class Judge(Table):
    """[judge]: the model, and what one mail may cost."""

    model: Path | None = None
    timeout: Limit = timedelta(seconds=5)
    processes: Annotated[int, Field(ge=1, le=16)] = 1
    parse_limit: Size = 2 * 2**20
    feedback: Path = Path("var/feedback.jsonl")

    @property
    def learns(self) -> bool:
        """Whether what the user teaches is kept; `feedback = ""` keeps nothing."""
        return self.feedback != Path()


class Thresholds(Table):
    """[thresholds]: the score from which a mail is tagged, held, answered."""

    tag: Probability = 0.50
    quarantine: Probability = 0.80
    answer: Probability = 0.95

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.quarantine < self.tag:
            raise ValueError(
                f"quarantine = {self.quarantine} is below tag = {self.tag}; "
                "a mail is held only if it would be tagged"
            )
        if self.answer < self.quarantine:
            raise ValueError(
                f"answer = {self.answer} is below quarantine = {self.quarantine}; "
                "an answer needs at least the quarantine score"
            )
        return self


class Folder(Table):
    """[folder]: where held mail lies."""

    kind: Literal["maildir"] = "maildir"
    path: Path = Path("var/quarantine")
    name: str = "Pitches"


class Answers(Table):
    """[answers]: whether, when and through whom an answer leaves."""

    mode: Literal["off", "shadow", "live"] = "shadow"
    smart_host: Address = Endpoint("127.0.0.1", 587)
    tls: Literal["off", "opportunistic", "required"] = "opportunistic"
    tls_ca: Path | None = None
    username: str = ""
    password: SecretStr = SecretStr("")
    delay: Duration = timedelta(minutes=20)
    hours: Span = Hours(time(9), time(17))
    spacing: Spacing = timedelta(days=30)
    templates: Path = Path("config/templates")


class State(Table):
    """[state]: the database."""

    url: str = "sqlite:///var/raincheck.db"

    @field_validator("url")
    @classmethod
    def _sqlite(cls, url: str) -> str:
        if not url.startswith("sqlite:///"):
            raise ValueError('this version keeps its state in SQLite: "sqlite:///var/raincheck.db"')
        return url


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError('name a time zone as in "Europe/Berlin" or "UTC"') from None
    return name


class Digest(Table):
    """[digest]: the daily mail about what was held."""

    enabled: bool = True
    at: Clock = time(8)
    timezone: Annotated[str, AfterValidator(_zone)] = "Europe/Berlin"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


class Review(Table):
    """[review]: reserved for the review page, which is not part of this version."""

    listen: Address = Endpoint("127.0.0.1", 8025)
    secret_file: Path = Path("var/secret")


class Profile(Table):
    """What holds for one recipient: `match` is a shell pattern over the whole address."""

    match: str = "*"
    name: str = ""
    thresholds: Thresholds = Thresholds()
    folder: Folder = Folder()
    answers: Answers = Answers()
    digest: Digest = Digest()


class Settings(Table):
    """The whole file."""

    relay: Relay = Relay()
    next_hop: NextHop = NextHop()
    judge: Judge = Judge()
    thresholds: Thresholds = Thresholds()
    folder: Folder = Folder()
    answers: Answers = Answers()
    state: State = State()
    digest: Digest = Digest()
    review: Review = Review()
    recipients: tuple[Profile, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _narrow(cls, data: Any) -> Any:
        """Lay each recipient's tables over the general ones, so that a Profile is complete."""
        if not isinstance(data, dict) or not isinstance(data.get("recipients"), list):
            return data
        return data | {"recipients": [_narrowed(entry, data) for entry in data["recipients"]]}

    def profile(self, address: str) -> Profile:
        """The settings for this recipient; the first match wins (RFC 5321 §2.4: case of the
        local part is ignored here, as every mailbox host in use does)."""
        folded = address.lower()
        for profile in self.recipients:
            if fnmatch.fnmatchcase(folded, profile.match.lower()):
                return profile
        return Profile(
            thresholds=self.thresholds, folder=self.folder, answers=self.answers, digest=self.digest
        )


def _narrowed(entry: Any, base: dict[str, Any]) -> Any:
    if not isinstance(entry, dict):
        return entry
    merged = dict(entry)
    for table in NARROWED:
        general, own = base.get(table), entry.get(table, {})
        if isinstance(general, dict) and isinstance(own, dict):
            merged[table] = general | own
    return merged
