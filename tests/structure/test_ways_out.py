"""Connections to vendors are asked for where the account's own way out is put into the request, and nowhere else."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def places_of(pattern: str) -> set[str]:
    """The modules in which this stands."""
    files = (path for package in ("worker", "worker_simulator") for path in (ROOT / package).rglob("*.py"))
    return {str(path.relative_to(ROOT)) for path in files if re.search(pattern, path.read_text(encoding="utf-8"))}


def test_few_places_ask_for_connections_and_all_say_by_which_way() -> None:
    """A job's call, a token, a code, a question of doctor, an alert's URL, which has no account."""
    asked = places_of(r"transport\.connect(_all)?\(|call_once\((self\._|tools\.)transport")
    said = places_of(r"\begress=(\w+\.)?account\.egress|egress=Egress\(ca=account\.egress|flight\.account\.egress")

    tokens = {f"worker/transport/{name}.py" for name in ("tokens", "grants", "token_provider")}
    questions = {"worker/cli/setup/online.py"}
    assert {"worker/delivery/sender/attempt.py", "worker/service/notify/sending.py", *questions, *tokens} == asked
    assert {"worker/delivery/sender/prepare.py", *questions, *tokens} == said
