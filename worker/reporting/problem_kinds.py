"""The kinds of problems, which are the tables of `problems.toml`: how urgent each is, and what to do about it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from pydantic import TypeAdapter


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem: a table of `problems.toml`."""

    name: str
    severity: Literal["page", "ticket"]
    """`page` for a person at night, `ticket` for the next day."""
    delay: float
    """Seconds that the problem must last before a notice reports it."""
    page: str
    """The section of the runbooks."""
    state: str
    """What is wrong: a sentence without its full stop."""
    remedy: str
    """What to do first."""
    command: str
    """The command that mends it or says more. `{}` stands for the subject."""
    act: str = ""
    """The command by which the console's first page mends it, or acknowledges that it is over; empty: none does."""
    tells_more: bool = False
    """Whether notices have the problem's own text too: it has words of this program alone, and ids."""
    about: Literal["account", "queue", "process", "workers", "broker", "receiver", "hooks", "clock"] = "account"
    """What the problem is about. Accounts, queues and processes have a name each."""
    stops: Literal["nothing", "account", "everything"] = "nothing"
    """What sends nothing while the problem lasts, and so no notice either: its account, or every account."""

    @property
    def runbook(self) -> str:
        """The runbook's link in the documents."""
        return f"docs/runbooks.md#{self.page}"


def _kinds() -> Mapping[str, ProblemKind]:
    tables = tomllib.loads((files("worker.reporting") / "problems.toml").read_text(encoding="utf-8"))
    named = {name: {"name": name, **row} for name, row in tables.items()}
    return TypeAdapter(dict[str, ProblemKind]).validate_python(named)


KINDS = _kinds()
"""Every kind of problem by its name."""
