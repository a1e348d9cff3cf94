"""Checks the members that a text mentions: `mentioned_list` and `mentioned_mobile_list`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from worker.channels.checking.targets import malformed
from worker.channels.wecom.names import USERID
from worker.domain.errors import Problem

EVERYONE = "@all"
LISTS = {
    "mentioned_list": (re.compile(f"{EVERYONE}|{USERID.pattern}"), "userids as they are, without @; everyone is @all"),
    "mentioned_mobile_list": (re.compile(rf"{EVERYONE}|\+?[0-9]{{5,20}}"), "phone numbers, or @all"),
}
"""The form of the entries, and how to write them."""


def mention_problems(content: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds the malformed entries, with one problem for each list. The vendor would ignore them in silence."""
    for name, (form, wanted) in LISTS.items():
        if isinstance(entries := content.get(name), list):
            yield from malformed(f"text.{name}", entries, form.fullmatch, f"use {wanted}")


def mention_cautions(content: Mapping[str, Any]) -> Iterator[str]:
    """Warns of an `all`, which is a userid."""
    if any(isinstance(entry, str) and entry.lower() == "all" for entry in content.get("mentioned_list") or ()):
        yield "text.mentioned_list: mentions the member whose userid is all, and nobody without one; everyone is @all"
