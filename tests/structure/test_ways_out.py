"""Connections to vendors are asked for where the account's own way out is put into the request, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

WORKER = Path(__file__).parents[2] / "worker"


def places_of(pattern: str) -> set[str]:
    """The modules in which this stands."""
    found = (path for path in WORKER.rglob("*.py") if re.search(pattern, path.read_text(encoding="utf-8")))
    return {str(path.relative_to(WORKER)) for path in found}


def test_few_places_ask_for_connections_and_all_say_by_which_way() -> None:
    """A job's call, a token, a code, a question of calibration or doctor, an alert's URL, which has no account."""
    asked = places_of(r"transport\.connect(_all)?\(|call_once\((self\._|tools\.)transport")
    said = places_of(r"\begress=(\w+\.)?account\.egress|egress=Egress\(ca=account\.egress|flight\.account\.egress")

    tokens = {"transport/tokens.py", "transport/grants.py", "transport/token_provider.py"}
    questions = {"control/calibration/asker.py", "cli/setup/online.py"}
    assert {"delivery/sender/call.py", "service/notify/telling.py", *questions, *tokens} == asked
    assert {"delivery/sender/prepare.py", *questions, *tokens} == said
