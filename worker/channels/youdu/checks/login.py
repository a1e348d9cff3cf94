"""Links with `action` = 1: the client adds the member's `userName` and `token` to the URL, which log in as the member.

So such a link may lead only to hosts that the account names. What a client takes for the host must be what is judged
here: an address that two programs could read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from worker.channels.checking.rules import places
from worker.domain.errors import Problem
from worker.domain.job import Draft

_URL = re.compile(
    r"https?://(?P<host>[0-9A-Za-z](?:[0-9A-Za-z._-]*[0-9A-Za-z])?|\[[0-9A-Fa-f:.]+\])(?P<port>:[0-9]{1,5})?"
    r"(?:[/?#][!#-\[\]-~]*)?",
    re.IGNORECASE,
)
"""Nothing but a plain host, and behind it printable ASCII without quotes and backslashes (which browsers read as /)."""
PLACES = {"link": "link.url", "sysMsg": "sysMsg.msg[].link.url"}
ADD = "add it to the account's sso_hosts, or use action 0"


def problems(draft: Draft) -> Iterator[Problem]:
    """Links that would hand a login to a host the account does not name."""
    path, body = PLACES.get(str(draft.message.get("type"))), draft.message.get("body")
    hosts = draft.account.settings.get("sso_hosts") or ()
    if path is None or not isinstance(body, Mapping):
        return
    for at, holder, name in places("", body, path):
        if _hands_over(holder):
            yield from _host_problem(at, holder.get(name), {str(host).lower() for host in hosts})


def _hands_over(holder: Mapping[str, Any]) -> bool:
    action = holder.get("action")
    return action is not None and action != 0


def _host_problem(at: str, url: Any, hosts: Collection[str]) -> Iterator[Problem]:
    if not isinstance(url, str) or not url:
        return  # the rows report it
    found = _URL.fullmatch(url)
    if found is None:
        text = "is no plain web address, and action 1 adds the member's login to it"
        yield Problem(at, text, "write http(s)://host/path, percent-encoded, without a user")
        return
    host, port = found["host"].lower().rstrip("."), found["port"] or ""
    if host not in hosts and f"{host}{port}" not in hosts:
        yield Problem(at, "leads to a host that may not be handed the member's login (action 1)", ADD)
