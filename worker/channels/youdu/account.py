"""The settings that an account needs before it can send. A wrong key is found at the start, not at a send.

A Youdu enterprise has several apps, each with an appId, a key and a token (a01_00001, the table of appIds). The wrong
kind of app is answered with `invalid appId` (100005), which parks the account's calls of that kind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

from worker.channels.checking.targets import malformed
from worker.domain.account import Account, Secret
from worker.domain.errors import Problem

APP_ID = re.compile(r"[0-9A-Za-z_-]{1,64}")
HOST = re.compile(r"([0-9A-Za-z]([0-9A-Za-z._-]{0,251}[0-9A-Za-z])?|\[[0-9A-Fa-f:.]{2,45}\])(:[0-9]{1,5})?")
PATH = re.compile(r"(/[0-9A-Za-z._~-]+)+")
DEFAULT_PATH = "/cgi"
MAX_UPLOAD = 100 * 1024 * 1024
"""Our own limit in bytes. The vendor documents none, and its server holds the whole file in memory, in Base64."""

KEYS = frozenset(
    {"buin", "appid", "invalid_users", "upload_max_bytes", "legacy_token", "api_path"} | {"sso_hosts", "callback"}
)
"""Every key that is read."""


class InvalidUsers(StrEnum):
    """What this server was seen to do with a call that names accounts it does not know (undocumented)."""

    STRICT = "strict"
    """200007, and no recipient gets it."""
    PARTIAL = "partial"
    """errcode 0 with their names in errmsg. The others get it."""
    PARTIAL_ERROR = "partial-error"
    """200007 with their names in errmsg. The others get it."""
    UNKNOWN = "unknown"
    """Not tried yet: the named accounts are refused, and the result for the others is unknown."""


def invalid_users(account: Account) -> InvalidUsers:
    """Returns what the account's server does with unknown accounts, by its setting."""
    return InvalidUsers(account.settings.get("invalid_users", InvalidUsers.UNKNOWN))


def max_upload(account: Account) -> int:
    """Returns how many bytes a file of the account may have, by its setting."""
    return int(account.settings.get("upload_max_bytes", MAX_UPLOAD))


def problems(settings: Mapping[str, Any]) -> Iterator[Problem]:
    """Finds every wrong key."""
    if not _is_number(settings.get("buin")):
        remedy = "add the enterprise's switchboard number (总机号): console, My enterprise, Enterprise info"
        yield Problem("buin", "is missing or not an integer", remedy)
    appid = settings.get("appid")
    if not isinstance(appid, str) or not APP_ID.fullmatch(appid):
        yield Problem("appid", "is missing or no appId", "add it: yd and 32 digits, or the name of a built-in app")
    if settings.get("invalid_users", InvalidUsers.UNKNOWN) not in tuple(InvalidUsers):
        yield Problem("invalid_users", "has no such value", f"use one of {', '.join(InvalidUsers)}")
    most = settings.get("upload_max_bytes", MAX_UPLOAD)
    if type(most) is not int or not 0 < most < 2**32:
        yield Problem("upload_max_bytes", "is not a number of bytes", "give 1 to 4294967295, or leave it out")
    if not isinstance(settings.get("legacy_token", False), bool):
        yield Problem("legacy_token", "is not a boolean", "use true or false")
    path = settings.get("api_path", DEFAULT_PATH)
    if not isinstance(path, str) or not PATH.fullmatch(path):
        yield Problem("api_path", "is not a path", f"use {DEFAULT_PATH}, or what your proxy has in its place")
    yield from _host_problems(settings.get("sso_hosts", ()))
    yield from _callback_problems(settings.get("callback", False))


def _host_problems(hosts: Any) -> Iterator[Problem]:
    if not isinstance(hosts, list | tuple):
        yield Problem("sso_hosts", "is not a list", 'use ["oa.example.com"]')
        return
    remedy = "write host or host:port, without a scheme, a path or a wildcard"
    yield from malformed("sso_hosts", hosts, HOST.fullmatch, remedy)


def _callback_problems(callback: Any) -> Iterator[Problem]:
    """Checks the table. With it, `worker receiver` is the app's callback address. The key is the account's own."""
    if callback is False:
        return
    if not isinstance(callback, Mapping):
        yield Problem("callback", "is not a table", 'use { token = { env = "NAME" } }, or leave it out')
        return
    if not isinstance(callback.get("token"), Secret):
        yield Problem("callback.token", "is missing", 'add token = { env = "NAME" } or { file = "PATH" }')
    for name in callback.keys() - {"token"}:
        yield Problem(f"callback.{name}", "is not a setting", "use token; the key is the account's secret")


def _is_number(value: Any) -> bool:
    """Accepts a positive integer, or its digits: a variable of the environment is always a text."""
    if isinstance(value, str):
        return value.isascii() and value.isdecimal() and len(value) < 20 and 0 < int(value) < 2**63
    return type(value) is int and 0 < value < 2**63
