"""`worker init`: writes a first worker.toml and .env, and prints which page says where to find each value."""

from __future__ import annotations

import json
import os
import re
import secrets
import string
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from worker.channels.first_steps import FIRST_ACCOUNTS, FirstAccount
from worker.cli.options import Commands
from worker.config.settings import DEFAULT_FILE, account_settings
from worker.config.variables import ENV_FILE, parse_env_file
from worker.domain.errors import ConfigurationError
from worker.language import Lang, language, translate

app = Commands()

SIMULATOR_FILE = "simulator.json"
SIMULATOR = "http://127.0.0.1:8081"
RECEIVER = "http://127.0.0.1:8090"
HEADS: Mapping[Lang, str] = {
    "en": """\
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
""",
    "zh": """\
# 投递工作进程的设置。全部键：docs/zh/settings.md。有什么问题：`worker doctor --online`。
# 这里不写密钥，只写变量名；变量的值在环境变量里，或在同目录的 .env 文件里。

# outbox 所在的数据库：应用在自己的事务里写入，工作进程读取。
database = "sqlite:///outbox.db"
# broker = "redis://localhost/0"         # 默认为 "embedded"：`worker up` 用一个进程完成全部工作
# hooks = "hooks"                        # 您的模块，其中有 @on_card_action 等钩子；只有工作进程导入它
{public}public_url = "{public_url}"   # 厂商从哪里访问 `worker receiver`

# 提交消息的应用需要这张表，不需要其中密钥所指的值；工作进程和回调接收进程两者都需要。
[accounts.{name}]
channel = "{channel}"
""",
}
ENV_HEADS: Mapping[Lang, str] = {
    "en": "# Secrets of worker.toml. A variable of the environment with the same name wins. Not for version control.\n",
    "zh": "# worker.toml 引用的密钥。同名的环境变量优先。不要提交到版本库。\n",
}
NOTES: Mapping[Lang, Mapping[str, str]] = {
    "en": {
        "suite": "of a provider's app, in place of secret: docs/wecom-suite.md",
        "edition": 'or "push": message push, whose chats are named by their ids',
        "base_url": "the simulator; in production none for WeCom, your own server for Youdu",
    },
    "zh": {
        "suite": "第三方应用和代开发应用用它代替 secret：docs/zh/wecom-suite.md",
        "edition": '或 "push"：消息推送，按 id 发到会话',
        "base_url": "模拟器；正式使用时，企业微信删去这一行，有度填自己的服务器地址",
    },
}
"""The remarks behind lines of an account's table."""
BASE_URL = f'base_url = "{SIMULATOR}"     # {{base_url}}\n'


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
    account_settings(account, {"channel": channel})  # raises if the name is not valid
    env = re.sub(r"\W", "_", account).upper()
    files = [DEFAULT_FILE, *([SIMULATOR_FILE] if simulator else [])]
    if not overwrite and (existing := [file for file in files if Path(file).exists()]):
        raise ConfigurationError(f"already in this folder: {', '.join(existing)}; --overwrite writes anew")
    env_line, values = _update_env(_values(first, env, simulator=simulator), lang)
    typer.echo(
        translate(
            _write_file(DEFAULT_FILE, _settings(channel, first, account, env, lang, simulator=simulator), 0o644), lang
        )
    )
    typer.echo(translate(env_line, lang))
    if simulator:
        typer.echo(translate(_write_file(SIMULATOR_FILE, _vendor(first, account, values, env), 0o600), lang))
    for line in _simulated_next_steps(first, account, lang) if simulator else _next_steps(first, account, lang):
        typer.echo(line)


def _settings(channel: str, first: FirstAccount, account: str, env: str, lang: Lang, *, simulator: bool) -> str:
    """Returns the text of worker.toml."""
    head = HEADS[lang].format(
        name=f'"{account}"' if "." in account else account,
        channel=channel,
        public="" if simulator and first.calls_back else "# ",
        public_url=RECEIVER if simulator else "https://wecom.example.com",
    )
    table = first.simulated + BASE_URL if simulator else first.real
    return head + table.format(env=env, **NOTES[lang])


def _values(first: FirstAccount, env: str, *, simulator: bool) -> dict[str, str]:
    """Returns the variables of .env, empty for the person to fill in, or random for the simulator."""
    variables = {"SECRET": first.simulated_secret or _random(43)}
    if first.calls_back:
        variables |= {"CALLBACK_TOKEN": _random(24), "CALLBACK_AES_KEY": _random(43)}
    return {f"{env}_{name}": value if simulator else "" for name, value in variables.items()}


def _random(length: int) -> str:
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(length))


def _vendor(first: FirstAccount, account: str, values: Mapping[str, str], env: str) -> str:
    """Returns the simulator's settings as JSON: the same app, with the receiver of this machine for its callbacks."""
    app = {
        "corpid": "ww0000000000000000",
        "agentid": 1000002,
        "secret": values[f"{env}_SECRET"],
        "callback_url": f"{RECEIVER}/callback/{account}",
        "callback_token": values.get(f"{env}_CALLBACK_TOKEN"),
        "callback_aes_key": values.get(f"{env}_CALLBACK_AES_KEY"),
    }
    return json.dumps({"apps": [app]} if first.calls_back else {}, indent=2) + "\n"


def _write_file(file: str, text: str, mode: int) -> str:
    """Writes a file with this mode. Returns the line to print."""
    try:
        with suppress(FileNotFoundError):
            os.unlink(file)  # an older one may have wider rights
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise _unwritable(Path(file), error) from error
    return f"wrote {file}" + (f" (mode {mode:o})" if mode == 0o600 else "")


def _unwritable(file: Path, error: OSError) -> ConfigurationError:
    absolute = file.absolute()
    problem = f"{absolute}: cannot be written ({error.strerror}); take away what is there, or use another folder"
    return ConfigurationError(problem)


def _update_env(variables: Mapping[str, str], lang: Lang) -> tuple[str, Mapping[str, str]]:
    """Writes .env, or adds missing variables to an existing one; returns the line to print, and all values now."""
    if not os.path.exists(ENV_FILE):
        return _write_file(ENV_FILE, ENV_HEADS[lang] + _lines(variables), 0o600), variables
    file = Path(ENV_FILE).absolute()
    try:
        text = file.read_text(encoding="utf-8-sig")
        values = parse_env_file(file).values
    except UnicodeDecodeError:
        problem = f"{file}: exists, but cannot be read as UTF-8 text; save it as UTF-8, or move it away"
        raise ConfigurationError(problem) from None
    except OSError as error:
        problem = f"{file}: exists, but cannot be read ({error.strerror}); check its rights, or move it away"
        raise ConfigurationError(problem) from error
    existing = {name: value for name, value in values.items() if name in variables}
    added = {name: value for name, value in variables.items() if name not in existing or (value and not existing[name])}
    lines = re.sub(rf"^({'|'.join(variables)})=\s*\n", "", text, flags=re.MULTILINE)
    empty = {name: "" for name, value in existing.items() if not value and name not in added}
    gap = "" if lines.endswith("\n") or not lines else "\n"
    line = f"kept the existing {ENV_FILE} and added nothing"
    if added:
        line = f"kept the existing {ENV_FILE} and added {', '.join(added)}"
    if os.stat(ENV_FILE).st_mode & 0o077:
        try:
            os.chmod(ENV_FILE, 0o600)  # before the secrets are in it
        except OSError:
            problem = (
                f"{Path(ENV_FILE).absolute()}: other users can read it, and its mode cannot be changed; move it away"
            )
            raise ConfigurationError(problem) from None
        line = f"{line}; other users could read it, so its mode is now 600"
    try:
        file.write_text(lines + gap + _lines({**empty, **added}), encoding="utf-8")
    except OSError as error:
        raise _unwritable(file, error) from error
    return line, {**variables, **{name: value for name, value in existing.items() if value}}


def _lines(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _next_steps(first: FirstAccount, account: str, lang: Lang) -> Iterator[str]:
    """Yields the page that says where to find each value, then the next commands."""
    page = f"docs/{'' if lang == 'en' else f'{lang}/'}{first.page}#where-the-values-are"
    yield translate(f"\nFill in {DEFAULT_FILE} and {ENV_FILE}; where each value is found: {page}", lang)
    yield {"en": "\nThen:", "zh": "\n然后："}[lang]
    yield from _commands(first, account, ("worker doctor --online", "worker up &"))


def _simulated_next_steps(first: FirstAccount, account: str, lang: Lang) -> Iterator[str]:
    """Yields the next commands, which work at once."""
    yield translate("\nEverything is filled in:", lang)
    receiver = ("worker receiver &",) if first.calls_back else ()
    simulator = f"worker simulator --port 8081 --settings {SIMULATOR_FILE} &"
    yield from _commands(first, account, (simulator, "worker up &", *receiver))


def _commands(first: FirstAccount, account: str, between: tuple[str, ...]) -> Iterator[str]:
    yield from (f"  {command}" for command in ("worker db upgrade", *between))
    if first.message:
        yield f"  worker send {account} {first.message} --wait"
