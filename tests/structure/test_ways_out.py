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
    """A job's call, a token, a code."""
    asked = places_of(r"transport\.connect(_all)?\(|call_once\((self\._|tools\.)transport")
    said = places_of(r"\begress=(\w+\.)?account\.egress|flight\.account\.egress")

    tokens = {f"worker/transport/{name}.py" for name in ("tokens", "grants")}
    assert asked == {"worker/delivery/sender/attempt.py", *tokens}
    assert said == {"worker/delivery/sender/prepare.py", *tokens}


def test_all_other_http_goes_through_the_one_session() -> None:
    """A token service, a question of doctor, an alert's URL, a file, a provider of sign-ins; nobody opens another."""
    sessions = places_of(r"web\.session\(")
    others = places_of(r"\brequests\.(Session|request|get|post)\(|HTTPAdapter|PoolManager|urlopen|OAuth2Session")

    assert sessions == {
        "worker/cli/setup/online.py",
        "worker/console/sign_in/provider.py",
        "worker/delivery/resolver/download.py",
        "worker/service/notify/sending.py",
        "worker/transport/token_provider.py",
    }
    assert others == {"worker_simulator/demo/stage.py"}
