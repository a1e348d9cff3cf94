"""`worker accounts`: the accounts that are kept in the outbox, with their secrets sealed."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.options import Commands, Json, Person, Why, Yes, say, tell_value
from worker.language import said

app = Commands(help="Accounts that are kept in the outbox; their secrets are sealed.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The account's name.")]
Table = Annotated[str, typer.Argument(help="A TOML file with the keys of an account; - for stdin.")]


@app.command()
def add(name: Name, file: Table = "-", why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Adds an account; every process knows it within seconds."""
    from worker.cli.acting import system_user
    from worker.control.accounts import add_account

    add_account(name, _table(file), person=person or system_user(), why=why)
    tell_value({"account": name}, f"account {name} is there; `worker doctor` looks at it", as_json=as_json)


@app.command("import")
def import_(
    file: Annotated[str, typer.Argument(help="A settings file; the accounts in it are added, all or none.")],
    why: Why = "",
    person: Person = None,
    as_json: Json = False,
) -> None:
    """Adds the accounts of a settings file; what their { env } and { file } name is read here, and sealed."""
    from worker.cli.acting import system_user
    from worker.control.accounts import import_accounts
    from worker.domain.errors import ConfigurationError

    tables = _table(file).get("accounts")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{file}: has no [accounts.NAME] tables")
    count = import_accounts(tables, person=person or system_user(), why=why)
    text = f"{count} accounts are there; take them out of {file}, whose tables win"
    tell_value({"accounts": count}, text, as_json=as_json)


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="The account's name; without it all are listed.")] = None,
    as_json: Json = False,
) -> None:
    """Shows accounts without their secrets."""
    from worker.cli.reading import clock, plain
    from worker.control.accounts import stored_accounts

    found = stored_accounts(name)
    if as_json:
        say(json.dumps(plain(found), ensure_ascii=False))
        return
    for one in found:
        state = "  disabled" if one.table.get("disabled") else ""
        say(f"{one.name}  {one.table.get('channel', '-')}  changed {clock(one.changed_at)}{state}")
        if name is not None:
            say(json.dumps(one.table, ensure_ascii=False, indent=2))
    if not found:
        say("no account is kept in the outbox; `worker accounts add` or `import` puts one there")


@app.command()
def change(name: Name, file: Table = "-", why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Gives an account other values for the keys in the file; all others stay."""
    from worker.cli.acting import system_user
    from worker.control.accounts import change_account

    change_account(name, _table(file), person=person or system_user(), why=why)
    tell_value({"account": name}, f"account {name} is changed", as_json=as_json)


@app.command()
def rotate(name: Name, file: Table = "-", why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Gives an account a new secret or callback; the old ones are used beside them until the next rotation."""
    from worker.cli.acting import system_user
    from worker.control.accounts import rotate_account

    rotate_account(name, _table(file), person=person or system_user(), why=why)
    tell_value({"account": name}, f"account {name} has new credentials; the old ones stay as previous", as_json=as_json)


@app.command()
def disable(name: Name, why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Lets an account take no new job, and its jobs wait."""
    _set(name, True, why, person, as_json)


@app.command()
def enable(name: Name, why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Ends that."""
    _set(name, False, why, person, as_json)


@app.command()
def remove(name: Name, why: Why = "", person: Person = None, yes: Yes = False, as_json: Json = False) -> None:
    """Removes an account and its secrets; its jobs that have not ended wait."""
    from worker.cli.acting import system_user
    from worker.control.accounts import remove_account
    from worker.domain.errors import WorkerError

    if not yes and not typer.confirm(said(f"remove account {name} and its secrets?")):
        raise WorkerError("nothing was changed")
    remove_account(name, person=person or system_user(), why=why)
    tell_value({"account": name}, f"account {name} is gone", as_json=as_json)


@app.command()
def reseal(why: Why = "", person: Person = None, as_json: Json = False) -> None:
    """Seals all secrets anew with the first key in WORKER_SEAL_KEY, so that the second can be taken out of it."""
    from worker.cli.acting import system_user
    from worker.control.accounts import reseal_accounts

    count = reseal_accounts(person=person or system_user(), why=why)
    tell_value({"accounts": count}, f"the secrets of {count} accounts are sealed with the first key", as_json=as_json)


def _set(name: str, disabled: bool, why: str, person: str | None, as_json: bool) -> None:
    from worker.cli.acting import system_user
    from worker.control.accounts import set_disabled

    set_disabled(name, disabled, person=person or system_user(), why=why)
    state = "disabled: it takes no new job, and its jobs wait" if disabled else "enabled"
    tell_value({"account": name, "disabled": disabled}, f"account {name} is {state}", as_json=as_json)


def _table(file: str) -> dict[str, Any]:
    """The TOML of a file or of stdin; ConfigurationError without a word of it, which may be a secret."""
    from worker.domain.errors import ConfigurationError

    try:
        if file == "-":
            return tomllib.loads(sys.stdin.read())
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror}); correct the path") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        where = "stdin" if file == "-" else file
    raise ConfigurationError(f'{where}: not valid TOML; write it as secret = "..." and so on, a key on each line')
