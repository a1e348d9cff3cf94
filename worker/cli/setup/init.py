"""`worker init`: writes a first worker.toml and .env, and names the page that says where each value is found."""

from __future__ import annotations

import json
import os
import re
import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from worker.channels.first_steps import FIRST_ACCOUNTS, FirstAccount
from worker.cli.options import Commands
from worker.config.settings import DEFAULT_FILE, account_settings
from worker.config.variables import ENV_FILE
from worker.domain.errors import ConfigurationError
from worker.language import Lang, language, translate

app = Commands()

SIMULATOR_FILE = "simulator.json"
SIMULATOR = "http://127.0.0.1:8081"
RECEIVER = "http://127.0.0.1:8090"
HEAD = """\
# Settings of the delivery worker. Every key: docs/settings.md. What is wrong: `worker doctor --online`.
# No secret stands here: each names a variable, which the environment or the file .env beside this one holds.

# The outbox. An application enqueues into it within its own transactions, and workers read it.
database = "sqlite:///outbox.db"
# broker = "redis://localhost/0"         # "embedded" by default: `worker up` has everything in one process
# hooks = "hooks"                        # your module with @on_card_action and the like; only workers import it
{public}public_url = "{public_url}"   # where the vendor reaches `worker receiver`

# An application that enqueues needs this table without what its secrets name; workers and receivers need both.
[accounts.{name}]
channel = "{channel}"
"""
ENV_HEAD = """\
# Secrets of worker.toml. A variable of the environment with the same name wins. Not for version control.
"""
BASE_URL = f'base_url = "{SIMULATOR}"     # the simulator; a real account of WeCom has no such line\n'


@app.command()
def init(
    channel: Annotated[str | None, typer.Option(help="Of which channel; by default WeCom's apps.")] = None,
    account: Annotated[str | None, typer.Option(help="The account's name; by default one that fits.")] = None,
    simulator: Annotated[
        bool, typer.Option("--simulator", help="For the fake vendor of `worker simulator`: everything is filled in.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Writes worker.toml anew; .env is added to.")] = False,
    lang: Annotated[Lang | None, typer.Option(help="English or Chinese.")] = None,
) -> None:
    """Writes a first worker.toml and .env, and names the page that says where each value is found."""
    channel, lang = channel or next(iter(FIRST_ACCOUNTS)), lang or language()
    first = FIRST_ACCOUNTS.get(channel)
    if first is None:
        raise ConfigurationError(
            f"--channel {channel}: is not a channel that sends; use one of {', '.join(FIRST_ACCOUNTS)}"
        )
    account = account or first.name
    account_settings(account, {"channel": channel})  # whether that can be a name
    env = re.sub(r"\W", "_", account).upper()
    files = [DEFAULT_FILE, *([SIMULATOR_FILE] if simulator else [])]
    if not overwrite and (there := [file for file in files if Path(file).exists()]):
        raise ConfigurationError(f"already in this folder: {', '.join(there)}; --overwrite writes anew")
    kept, values = _env_kept(_values(first, env, simulator=simulator))
    typer.echo(
        translate(_written(DEFAULT_FILE, _settings(channel, first, account, env, simulator=simulator), 0o644), lang)
    )
    typer.echo(translate(kept, lang))
    if simulator:
        typer.echo(translate(_written(SIMULATOR_FILE, _vendor(first, account, values, env), 0o600), lang))
    for line in _simulated_next(first, account, lang) if simulator else _next(first, account, lang):
        typer.echo(line)


def _settings(channel: str, first: FirstAccount, account: str, env: str, *, simulator: bool) -> str:
    """The text of worker.toml."""
    head = HEAD.format(
        name=f'"{account}"' if "." in account else account,
        channel=channel,
        public="" if simulator and first.calls_back else "# ",
        public_url=RECEIVER if simulator else "https://wecom.example.com",
    )
    return head + (first.simulated if simulator else first.real).format(env=env) + (BASE_URL if simulator else "")


def _values(first: FirstAccount, env: str, *, simulator: bool) -> dict[str, str]:
    """The variables of .env: to be filled in, or made up for the simulator."""
    made = {"SECRET": first.simulated_secret or _random(43)}
    if first.calls_back:
        made |= {"CALLBACK_TOKEN": _random(24), "CALLBACK_AES_KEY": _random(43)}
    return {f"{env}_{name}": value if simulator else "" for name, value in made.items()}


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _vendor(first: FirstAccount, account: str, values: Mapping[str, str], env: str) -> str:
    """The simulator's settings: the same app, which calls back to the receiver of this machine."""
    app = {
        "corpid": "ww0000000000000000",
        "agentid": 1000002,
        "secret": values[f"{env}_SECRET"],
        "callback_url": f"{RECEIVER}/callback/{account}",
        "callback_token": values.get(f"{env}_CALLBACK_TOKEN"),
        "callback_aes_key": values.get(f"{env}_CALLBACK_AES_KEY"),
    }
    return json.dumps({"apps": [app]} if first.calls_back else {}, indent=2) + "\n"


def _written(file: str, text: str, mode: int) -> str:
    """Writes a file with these rights; the line that says so."""
    try:
        with suppress(FileNotFoundError):
            os.unlink(file)  # an older one may have wider rights
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as opened:
            opened.write(text)
    except OSError as error:
        absolute = Path(file).absolute()
        wrong = f"{absolute}: cannot be written ({error.strerror}); take away what is there, or use another folder"
        raise ConfigurationError(wrong) from error
    return f"wrote {file}" + (f" (mode {mode:o})" if mode == 0o600 else "")


def _env_kept(wanted: Mapping[str, str]) -> tuple[str, Mapping[str, str]]:
    """Writes .env, or adds to the one that is there what it lacks; the line that says so, and the values it has now."""
    if not os.path.exists(ENV_FILE):
        return _written(ENV_FILE, ENV_HEAD + _lines(wanted), 0o600), wanted
    try:
        text = Path(ENV_FILE).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        file = Path(ENV_FILE).absolute()
        wrong = f"{file}: exists, but cannot be read as UTF-8 text; save it as UTF-8, or move it away"
        raise ConfigurationError(wrong) from None
    values = dotenv_values(stream=StringIO(text), interpolate=False)
    there = {name: value for name, value in values.items() if name in wanted}
    added = {name: value for name, value in wanted.items() if name not in there or (value and not there[name])}
    lines = re.sub(rf"^({'|'.join(wanted)})=\s*\n", "", text, flags=re.MULTILINE)
    empty = {name: "" for name, value in there.items() if not value and name not in added}
    gap = "" if lines.endswith("\n") or not lines else "\n"
    kept = f"kept the existing {ENV_FILE} and added {', '.join(added)}"
    kept = kept if added else f"kept the existing {ENV_FILE} and added nothing"
    if os.stat(ENV_FILE).st_mode & 0o077:
        try:
            os.chmod(ENV_FILE, 0o600)  # before the secrets are in it
        except OSError:
            wrong = (
                f"{Path(ENV_FILE).absolute()}: other users can read it, and its mode cannot be changed; move it away"
            )
            raise ConfigurationError(wrong) from None
        kept = f"{kept}; other users could read it, so its mode is now 600"
    Path(ENV_FILE).write_text(lines + gap + _lines({**empty, **added}), encoding="utf-8")
    return kept, {**wanted, **{name: value for name, value in there.items() if value}}


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _next(first: FirstAccount, account: str, lang: Lang) -> Iterator[str]:
    """The page that says where each value is found, then the commands."""
    page = f"docs/{'' if lang == 'en' else f'{lang}/'}{first.page}#where-the-values-are"
    yield translate(f"\nFill in {DEFAULT_FILE} and {ENV_FILE}; where each value is found: {page}", lang)
    yield {"en": "\nThen:", "zh": "\n然后："}[lang]
    yield from _commands(first, account, ("worker doctor --online", "worker up &"))


def _simulated_next(first: FirstAccount, account: str, lang: Lang) -> Iterator[str]:
    """The commands, which work at once."""
    yield translate("\nEverything is filled in:", lang)
    receiver = ("worker receiver &",) if first.calls_back else ()
    simulator = f"worker simulator --port 8081 --settings {SIMULATOR_FILE} &"
    yield from _commands(first, account, (simulator, "worker up &", *receiver))


def _commands(first: FirstAccount, account: str, between: tuple[str, ...]) -> Iterator[str]:
    yield from (f"  {command}" for command in ("worker db upgrade", *between))
    if first.message:
        yield f"  worker send {account} {first.message} --wait"
