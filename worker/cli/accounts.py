"""`worker accounts`: the accounts that are kept in the outbox, with their secrets sealed."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import typer

from worker.cli.options import Commands, Json, Person, by_person
from worker.cli.reading import print_rows
from worker.cli.times import clock
from worker.control.accounts import (
    StoredAccount,
    add_account,
    change_account,
    import_accounts,
    remove_account,
    reseal_accounts,
    rotate_account,
    set_disabled,
    stored_accounts,
)
from worker.domain.errors import ConfigurationError
from worker.language import plural, term, translate

app = Commands(
    name="accounts",
    help="Manages accounts that are kept in the outbox; their secrets are sealed.",
    no_args_is_help=True,
)

Name = Annotated[str, typer.Argument(help="The account's name.")]
Table = Annotated[str, typer.Argument(help="A TOML file with the keys of an account; - for stdin.")]


@app.command()
@by_person()
def add(
    person: Person,
    name: Annotated[str | None, typer.Argument(help="The account's name; not with --settings.")] = None,
    file: Table = "-",
    settings: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A settings file instead: adds all of its accounts or none; what { env } and { file } name is sealed.",
        ),
    ] = None,
) -> None:
    """Adds an account; every process knows it within seconds."""
    if name is not None and settings is None:
        add_account(name, _table(file), person=person.name, why=person.why)
        person.answer({"account": name}, f"account {name} was added; check it with `worker doctor`")
    elif name is None and settings is not None:
        count = import_accounts(_tables(settings), person=person.name, why=person.why)
        text = f"{plural(count, 'account')} added; remove their tables from {settings}, which take precedence"
        person.answer({"accounts": count}, text)
    else:
        raise typer.BadParameter(translate("name the account, or give --settings"))


@app.command()
def show(
    name: Annotated[str | None, typer.Argument(help="The account's name; without it all are listed.")] = None,
    as_json: Json = False,
) -> None:
    """Shows accounts without their secrets."""

    def line(account: StoredAccount) -> str:
        state = f"  {term('state', 'disabled')}" if account.table.get("disabled") else ""
        summary = f"{account.name}  {account.table.get('channel', '-')}  changed {clock(account.changed_at)}{state}"
        return summary if name is None else f"{summary}\n{json.dumps(account.table, ensure_ascii=False, indent=2)}"

    nothing = "no account is stored in the outbox; `worker accounts add` adds one"
    print_rows(stored_accounts(name), line, nothing, as_json=as_json)


@app.command()
@by_person()
def change(
    person: Person,
    name: Name,
    file: Table = "-",
    disable: Annotated[
        bool | None,
        typer.Option("--disable/--enable", help="Lets it take no new job, and its jobs wait; or ends that."),
    ] = None,
) -> None:
    """Gives an account other values for the keys in the file; all others stay."""
    if disable is not None and file != "-":
        raise typer.BadParameter(translate("give either a file or --disable or --enable"))
    if disable is None:
        change_account(name, _table(file), person=person.name, why=person.why)
        person.answer({"account": name}, f"account {name} was changed")
    else:
        set_disabled(name, disable, person=person.name, why=person.why)
        state = "disabled: it takes no new job, and its jobs wait" if disable else "enabled"
        person.answer({"account": name, "disabled": disable}, f"account {name} is {state}")


@app.command()
@by_person()
def rotate(person: Person, name: Name, file: Table = "-") -> None:
    """Gives an account a new secret or callback; the old ones are used beside them until the next rotation."""
    rotate_account(name, _table(file), person=person.name, why=person.why)
    person.answer({"account": name}, f"account {name} has new credentials; the old ones are kept, too")


@app.command()
@by_person(confirms=True)
def remove(person: Person, name: Name) -> None:
    """Removes an account and its secrets; its jobs that have not ended wait."""
    person.confirm(f"remove account {name} and its secrets?")
    remove_account(name, person=person.name, why=person.why)
    person.answer({"account": name}, f"account {name} was removed")


@app.command()
@by_person()
def reseal(person: Person) -> None:
    """Seals all secrets anew with the first key in WORKER_SEAL_KEY, so that the second can be taken out of it."""
    count = reseal_accounts(person=person.name, why=person.why)
    person.answer({"accounts": count}, f"the secrets of {plural(count, 'account')} are now sealed with the first key")


def _tables(file: str) -> dict[str, dict[str, Any]]:
    """Reads the account tables of a settings file."""
    tables = _table(file).get("accounts")
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise ConfigurationError(f"{file}: has no [accounts.NAME] tables")
    return tables


def _table(file: str) -> dict[str, Any]:
    """Parses the TOML of a file or of stdin. Its error quotes nothing of it, because that may be a secret."""
    try:
        if file == "-":
            return tomllib.loads(sys.stdin.read())
        return tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file}: cannot be read ({error.strerror}); correct the path") from None
    except (ValueError, RecursionError):  # also of numbers with thousands of digits
        where = "stdin" if file == "-" else file
    raise ConfigurationError(f'{where}: not valid TOML; write it as secret = "..." and so on, a key on each line')
