"""The settings in `worker.toml` and the `WORKER_...` variables, and one clear sentence if one is wrong.

Defines names, types and defaults. Knows no channel's own keys, and never reads a secret's value.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError

from worker.config.account_settings import AccountSettings, StagingSettings
from worker.config.application import FUNCTION, MODULE
from worker.config.console import LONGEST_S, ConsoleSettings
from worker.config.mistakes import sentence_of, table_in, unknown_variables, validated
from worker.config.notify import NotifySettings
from worker.config.places import (
    Environment,
    SecretFrom,
    SettingsTable,
    UrlFrom,
    broker_problem,
    database_problem,
    read_url,
    url_validator,
)
from worker.config.time_zone import zone_of
from worker.config.variables import variable, variables
from worker.domain.content.address import entry_problem
from worker.domain.errors import ConfigurationError
from worker.domain.pacing.lane import RULES

_POSITION = re.compile(r"line (\d+), column (\d+)")
DEFAULT_FILE = "worker.toml"
M = TypeVar("M", bound=BaseModel)

Seconds = Annotated[float, Field(gt=0, le=LONGEST_S)]
Deadline = Annotated[float, Field(gt=0, le=86_400)]
"""Sockets cannot wait for longer than some weeks."""
Count = Annotated[int, Field(ge=1)]
Tries = Annotated[int, Field(ge=1, le=1000)]
"""The waits between them double each time, which a float holds a thousand times."""


class DeliverySettings(SettingsTable):
    """`[delivery]`: every time and count of the pipeline, in seconds. Tests make them shorter."""

    # A lease that is longer by SKEW_US proves that the database's clock was set back.
    lease_s: Annotated[float, Field(gt=0, le=300)] = 10
    """Seconds for which a process counts as alive after its last heartbeat."""
    heartbeat_s: Seconds = 3
    """Seconds between two heartbeats of a process, at most half of `lease_s`."""
    call_deadline_s: Deadline = 20
    """Total time of one call. Uploads get more by their size."""
    attempts: Tries = 8
    """Calls for one part whose readable answers allow another try. After the last it is exhausted."""
    repeats: Tries = 5
    """Calls of one part in doubt with the same bytes, if its policy sends again."""
    max_age_s: Seconds = 86_400
    """Seconds after which a part that is not sent is not tried again."""
    backoff_base_s: Seconds = 1
    """Longest wait before the first retry. It doubles with each retry, and a random part of it is used."""
    backoff_max_s: Seconds = 300
    """Longest wait before any retry."""
    pace_bulk: bool = False
    """Sends no bulk in minute 0 and minute 30 of the hour, when many applications send and the vendor is slower."""
    threads: Count = 32
    """Sender threads of a worker process, unless `--threads` or Celery's `-c` says otherwise."""
    republish_after_s: Seconds = 5
    """Seconds after which an offered id that no worker took is offered again. Doubles up to twelve times that."""
    doorbell_size: Annotated[int, Field(ge=1, le=50)] = 50
    """Part ids in one doorbell, at most."""
    doorbell_s: Seconds = 2
    """Seconds of work on one doorbell before its remaining parts are left to be offered again."""
    fetch_deadline_s: Deadline = 60
    """Total time to fetch one file from a URL, redirects included."""
    fetch_allow: tuple[str, ...] = ()
    """Hosts, and networks such as `10.2.0.0/16`, from which files may be fetched although they are not public."""
    park_probe_s: Seconds = 600
    """How often a parked lane or account is tried with one job, and refused credentials with one gettoken."""
    rate_limit_block_s: Seconds = 60
    """How long a lane waits after a frequency limit (45009)."""
    rate_limit_block_again_s: Seconds = 3_600
    """The wait after a second 45009 with no call accepted since. After a third, until midnight in Asia/Shanghai."""
    cold_after_s: Annotated[float, Field(ge=0)] = 60
    """A lane without a success for so long starts with one call in flight. With 0 it never does."""
    hook_threads: Count = 4
    """Application hooks that one process runs at a time."""
    hook_tracebacks: bool = False
    """Logs the whole error of each failed hook. Its text may hold what people wrote, so use it only on your own
    machine.
    """

    @field_validator("fetch_allow")
    @classmethod
    def _hosts_and_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for n, entry in enumerate(value, start=1):
            if (problem := entry_problem(entry)) is not None:
                raise ValueError(f"entry {n} {problem}")
        return value

    # Constants: no installation has needed another value of these.
    duplicate_window_s: ClassVar[int] = 14_400
    """Seconds for which a repeat can rely on the vendor's duplicate check (page 90236). An account may have less."""
    response_code_ttl_s: ClassVar[int] = 259_200
    """Seconds for which a card's response_code may be used to update it (page 94888)."""
    media_valid_s: ClassVar[int] = 216_000
    """How long a media_id is used: 2.5 of the vendor's 3 days."""
    breaker_failures: ClassVar[int] = RULES.failures
    """Failed calls in a row that open a breaker (no answer, no connection, -1)."""
    token_refresh_s: ClassVar[float] = 300
    """How long before its end a token is replaced."""
    members_valid_s: ClassVar[float] = 300
    """How long an answer of `members_of`, the members of a department or tag, is used."""
    members_deadline_s: ClassVar[float] = 2
    """How long a part waits for `members_of` before the account's estimates are used instead."""
    callback_max_age_s: ClassVar[float] = 300
    """How far a callback's timestamp may be from this machine's clock, either way."""
    hook_backoff_base_s: ClassVar[float] = 1
    """Longest wait before the second run of a failed hook. It doubles with each run."""
    hook_backoff_max_s: ClassVar[float] = 600
    """Longest wait before any run of a hook."""

    @property
    def deadline_margin_s(self) -> float:
        """Seconds between the deadline of a call without an answer and the first action on its part in doubt."""
        return min(5, self.call_deadline_s / 4)

    @property
    def offer_max_s(self) -> float:
        """Longest wait before an offered id is offered again."""
        return 12 * self.republish_after_s

    @property
    def token_call_s(self) -> float:
        """Total time of a call that fetches a token."""
        return min(10, self.call_deadline_s / 2)

    @property
    def token_lease_s(self) -> float:
        """Seconds for which only one process may fetch a token."""
        return 1.5 * self.token_call_s

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.heartbeat_s > self.lease_s / 2:
            raise ValueError(
                "heartbeat_s is longer than half of lease_s: one late heartbeat would end the lease; make it shorter"
            )
        for low, high in (("backoff_base_s", "backoff_max_s"), ("rate_limit_block_s", "rate_limit_block_again_s")):
            if getattr(self, low) > getattr(self, high):
                raise ValueError(f"{low} is longer than {high}; make it shorter")
        return self


Days = Annotated[float, Field(ge=0, le=36_500)]


class LogSettings(SettingsTable):
    """`[logs]`: how lines look."""

    format: Literal["auto", "json", "text"] = "auto"
    """`json` writes one object a line, `text` is for people, `auto` is text on a terminal and otherwise JSON."""


class RetentionSettings(SettingsTable):
    """`[retention]`: days after which ended rows are deleted. With 0 they stay for ever, or as long as their job."""

    attempts_days: Days = 30
    """The attempts of parts that have ended and are not in doubt. Without them the timeline shows only the job's end.
    """
    callbacks_days: Days = 30
    """Callbacks, with the events whose hooks have run, and the events of lanes."""
    access_days: Days = 365
    """The audit's rows of people who read a text in the console, signed in or out, or were refused; those of commands
    are never deleted.
    """
    content_days: Days = 0
    """The texts, files and recipients of jobs that have ended: ids, receipts and counts stay until `jobs_days`, so that
    they can be recalled and found by msgid. They cannot be replayed, or found by recipient, any more.
    """
    jobs_days: Days = 90
    """Jobs that have ended, with message, recipients, receipts, failures and codes, and the files no other job names.
    Until then they can be recalled, updated and replayed as far as the vendor lets it, and their dedupe key is taken.
    """

    @model_validator(mode="after")
    def _jobs_outlive_the_rest(self) -> Self:
        if 0 < self.jobs_days < FOLLOW_UP_DAYS:
            raise ValueError(f"jobs_days must be 0 or at least {FOLLOW_UP_DAYS}: recalls and card updates need the job")
        if 0 < self.content_days < FOLLOW_UP_DAYS:
            raise ValueError(f"content_days must be 0 or at least {FOLLOW_UP_DAYS}: card updates need the card")
        for name in ("attempts_days", "content_days"):
            if self.jobs_days and getattr(self, name) > self.jobs_days:
                raise ValueError(f"{name} is longer than jobs_days, and goes with the job; make it shorter")
        return self


FOLLOW_UP_DAYS = 4
"""Days that a job stays, at least: its card can be updated for 72 hours, its message recalled for 24."""


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """A settings file, with what shows whether it has changed since it was read."""

    path: Path
    stamp: tuple[int, ...]

    @classmethod
    def current(cls, path: Path) -> SettingsFile:
        """Returns the file as it is now. The stamp is empty if it cannot be read."""
        try:
            stat = path.stat()
        except OSError:
            return cls(path.absolute(), ())
        # With the inode, because a file may be replaced by an older one.
        return cls(path.absolute(), (stat.st_ino, stat.st_size, stat.st_mtime_ns))


class Settings(BaseSettings):
    """All settings of the worker. Its `repr` shows no password and no secret."""

    model_config = SettingsConfigDict(
        env_prefix="WORKER_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    database: Annotated[UrlFrom, url_validator(database_problem)] = UrlFrom(url="sqlite:///worker.db")
    """The URL; or `{ env }` or `{ file }`, the place of the URL; or `{ url, password = { env } or { file } }`."""
    broker: Annotated[UrlFrom, url_validator(broker_problem)] = UrlFrom(url="embedded")
    """A URL of `redis`, `rediss`, `amqp` or `amqps`, in the forms of `database`; `embedded`: inside one process."""
    queue_prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{0,40}$", examples=["shop-"])] = ""
    """A prefix of every queue's name, so that several installations can use one broker."""
    queue_type: Literal["classic", "quorum"] = "classic"
    """The type of RabbitMQ queues; `classic` declares none, so the virtual host's default type is used."""
    public_url: Annotated[str, Field(pattern=r"^(https?://[^\s?#]+)?$", examples=["https://wecom.example.com"])] = ""
    """Where the vendor reaches `worker receiver`, such as `https://wecom.example.com`; empty: not known here."""
    time_zone: str = ""
    """The zone in which times are shown, and typed without an offset, such as `Asia/Shanghai`; empty: the host's."""
    hooks: Annotated[str, Field(pattern=rf"^({MODULE})?$", examples=["shop.hooks"])] = ""
    """The module that holds the application's hooks, such as `shop.hooks`; empty: none."""
    members_of: Annotated[str, Field(pattern=rf"^({FUNCTION})?$", examples=["shop.people:members_of"])] = ""
    """The function that names the members of departments and tags, such as `shop.people:members_of`; empty: none."""
    accounts: dict[str, Any] = {}
    """As they were written; each is judged by itself, when it is asked for."""
    accounts_from: Annotated[str, Field(pattern=rf"^({FUNCTION})?$", examples=["shop.wecom:accounts"])] = ""
    """The function that returns further accounts, such as `shop.wecom:accounts`; `accounts = "..."` in the file."""
    seal_key: SecretFrom = SecretFrom(env="WORKER_SEAL_KEY")
    """The key of the secrets in `worker accounts`; two with a blank between them while they are sealed anew."""
    delivery: DeliverySettings = DeliverySettings()
    """The table `[delivery]`: how parts are delivered."""
    retention: RetentionSettings = RetentionSettings()
    """The table `[retention]`: how long what ended is kept."""
    logs: LogSettings = LogSettings()
    """The table `[logs]`: what processes log."""
    staging: StagingSettings = StagingSettings()
    """The table `[staging]`: what keeps calls from people, where this is no production."""
    notify: NotifySettings = NotifySettings()
    """The table `[notify]`: which operators are told of what."""
    console: ConsoleSettings = ConsoleSettings()
    """The table `[console]`: the console's address, and who signs in."""
    _file: SettingsFile | None = PrivateAttr(None)
    _unknown: tuple[str, ...] = PrivateAttr(())

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, value: str) -> str:
        if value:
            zone_of(value)
        return value

    @property
    def zone(self) -> tzinfo:
        """The zone of `time_zone`, or the host's. Raises ConfigurationError if `TZ` names no zone."""
        return zone_of(self.time_zone)

    @property
    def file(self) -> SettingsFile | None:
        """The file that they were read from, or None without one."""
        return self._file

    @property
    def unknown_variables(self) -> tuple[str, ...]:
        """The variables that begin with WORKER_ and neither are nor resemble a setting."""
        return self._unknown

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: Any, **others: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Lets the environment win over the file."""
        return Environment(settings_cls), init_settings

    def database_url(self) -> str:
        """Reads the database URL. Raises ConfigurationError if it cannot be read or is invalid."""
        return read_url(self.database, "database", database_problem)

    def broker_url(self) -> str:
        """Reads the broker URL or `embedded`. Raises ConfigurationError if it cannot be read or is invalid."""
        return read_url(self.broker, "broker", broker_problem)

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        # Of the accounts only the names: a wrong value may be a credential.
        shown = {name: getattr(self, name) for name in ("database", "broker", "delivery")}
        return {**shown, "accounts": list(self.accounts)}.items()


def load_settings(path: str | Path | None = None) -> Settings:
    """Loads settings from a file (the one named, WORKER_CONFIG, or ./worker.toml if it exists) and the environment."""
    named = settings_file(path)
    file = SettingsFile.current(named) if named else None
    data = {} if named is None else _read(named)
    if isinstance(data.get("accounts"), str):
        data["accounts_from"] = data.pop("accounts")
    for key in ("database", "broker"):  # so that a variable can add the password to the file's URL
        if isinstance(data.get(key), str):
            data[key] = {"url": data[key]}
    try:
        settings = Settings(**data)
    except ValidationError as error:
        sentence = f"{_origin(error, named)}: {sentence_of(error, Settings)}"
    except (SettingsError, RecursionError):  # RecursionError: of JSON with thousands of levels
        sentence = (
            "environment: a WORKER_... variable for a table is not JSON; correct it, or set one variable for each key"
        )
    else:
        settings._file = file
        settings._unknown = tuple(_unknown(data))
        return settings
    # Raised outside the handler: pydantic's error would stay chained, and may quote what was typed as a secret.
    raise ConfigurationError(sentence)


def _unknown(file: Mapping[str, Any]) -> Iterator[str]:
    """Yields the unknown variables. One that resembles a setting is refused, like a wrong key of the file."""
    tables = {name: table_in(field.annotation) for name, field in Settings.model_fields.items()}
    keys = {name: table.model_fields if table else () for name, table in tables.items()}
    for name, near in unknown_variables(variables(), keys, file):
        if near:
            raise ConfigurationError(f"{name}: is not a setting; did you mean {near}?")
        yield name


def account_settings(name: str, table: Mapping[str, Any]) -> AccountSettings:
    """Validates one account's table. Raises ConfigurationError with a sentence that begins with `accounts.NAME`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        raise ConfigurationError(f"accounts: {name!r} is not an account name; use at most 60 of A-Z a-z 0-9 _ . -")
    values = table.items() if isinstance(table, Mapping) else ()  # else refused below
    if deep := next((key for key, value in values if _is_deep(value)), None):
        raise ConfigurationError(f"accounts.{name}.{deep}: is nested too deep; flatten it")
    return validated(AccountSettings, table, "accounts", name)


def _is_deep(value: Any, levels: int = 32) -> bool:
    """Returns whether tables and lists stand in each other on more levels."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return bool(inner) and (levels == 0 or any(_is_deep(entry, levels - 1) for entry in inner))


def _origin(error: ValidationError, named: Path | None) -> str:
    """Returns where the first wrong value may have been written: the file, and the variables of that name."""
    key = "_".join(("WORKER", *map(str, error.errors()[0]["loc"][:1]))).upper()
    names = sorted(name for name in variables() if name.upper() == key or name.upper().startswith(f"{key}__"))
    return " or ".join([*([str(named)] if named else []), *names]) or "environment"


def unknown_line(variable: str) -> str:
    """Returns the warning for a variable that begins like ours."""
    return (
        f"{variable} is not a setting, so nothing reads it; see docs/settings.md, or rename it if"
        " it belongs to another program"
    )


def settings_location() -> str:
    """Returns the settings file as text for people: the one that is read, or where it was searched for."""
    file = settings_file()
    if file is not None:
        return str(file.absolute())
    return f"{DEFAULT_FILE} (there is none in {Path.cwd()}; WORKER_CONFIG can name another)"


def settings_file(path: str | Path | None = None) -> Path | None:
    """Returns the settings file: `path`, or WORKER_CONFIG, or ./worker.toml if it exists, or None."""
    name = path or variable("WORKER_CONFIG") or (DEFAULT_FILE if Path(DEFAULT_FILE).exists() else None)
    return Path(name) if name else None


def _read(file: Path) -> dict[str, Any]:
    try:
        # Editors on Windows put a byte order mark before the text.
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigurationError(
            f"{file}: cannot be read ({error.strerror}); correct the path or WORKER_CONFIG"
        ) from error
    except UnicodeDecodeError:
        sentence = f"{file}: is not UTF-8 text; save it as UTF-8"
    except (ValueError, RecursionError) as error:  # also of numbers with thousands of digits
        # The parser's text may quote a line of the file, which may hold a secret although it must not.
        position = _POSITION.search(str(error))
        line, column = position.groups() if position else ("", "")
        place = f" (at line {line}, column {column})" if position else ""
        sentence = f"{file}: not valid TOML{place}; correct the line, see the sample in docs/settings.md"
        if "\\" in str(error):  # of an escape that there is not, such as a path of Windows begins with
            sentence = f"{file}: not valid TOML{place}; write a text with a backslash in single quotes"
    raise ConfigurationError(sentence)
