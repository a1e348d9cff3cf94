"""The accounts of a test: the application's own under their names, with made-up secrets, all at the fake vendor.

Without a worker.toml every name is an application of WeCom with a callback address.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from worker.channels.wecom.account import SUITE_KEYS
from worker.config.accounts import AccountSource, FixedAccounts, account_of
from worker.config.mistakes import validated
from worker.config.settings import Settings, load_settings, settings_file
from worker.domain.account import DIRECT, Account, Secret
from worker.domain.content.staging import LIVE
from worker_simulator.settings import AppSettings, SimulatorSettings
from worker_simulator.settings.webhook import WebhookKey
from worker_simulator.settings.youdu import YouduApp

VENDOR = "http://vendor.test"
CALLBACK = "http://worker.test/callback/"
_CORP = {"corpid": "ww0000000000000000"}
_NEEDED: Mapping[str, Mapping[str, Any]] = {
    "wecom_app": {**_CORP, "agentid": 1_000_002},
    "wecom_external": _CORP,
    "wecom_webhook": {"edition": "push"},
    "youdu": {"buin": 12_345_678, "appid": "yd00112233445566778899AABBCCDDEEFF", "invalid_users": "partial"},
}
"""What an account of each channel must say, where its settings do not."""

Given = Settings | AccountSource | Mapping[str, Any] | str | Path | None
"""What an application is set up with: settings, their file or their tables, or a source of its own."""


def settings_of(given: Given) -> Settings:
    """The settings of a test; None: of WORKER_CONFIG or ./worker.toml, if there is one."""
    match given:
        case Settings():
            return given
        case str() | Path():
            return load_settings(given)
        case Mapping():
            return validated(Settings, given)
        case None if settings_file() is not None:
            return load_settings()
        case _:
            return Settings()


def source_of(given: Given, settings: Settings) -> AccountSource | None:
    """The application's accounts; None: it has named none."""
    if given is not None and not isinstance(given, Settings | Mapping | str | Path):
        return given
    tables = settings.accounts
    return FixedAccounts(account_of(name, table, settings) for name, table in tables.items()) if tables else None


class KitAccounts:
    """The accounts of one test, each made known to the fake vendor when it is first asked for."""

    def __init__(self, source: AccountSource | None, vendor: SimulatorSettings):
        self._source, self._vendor = source, vendor
        self._made: dict[str, Account] = {}

    def get(self, name: str) -> Account:
        """The account; UnknownAccount where the application has named others and not this one."""
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = _harmless(self._source.get(name) if self._source else _made_up(name))
            _enrol(self._vendor, made)
        return made

    def names(self) -> tuple[str, ...]:
        """The names of all accounts that there are, or that were asked for."""
        return self._source.names() if self._source else tuple(sorted(self._made))


def _made_up(name: str) -> Account:
    callback = {"token": Secret(str), "aes_key": Secret(str)}
    return Account(name, "wecom_app", VENDOR, {"callback": callback}, allow_everyone=True)


def _harmless(account: Account) -> Account:
    """The account with what every channel needs, and with nothing that leads to the real vendor."""
    needed = _NEEDED.get(account.channel, {})
    own = {key: value for key, value in account.settings.items() if key not in SUITE_KEYS}
    settings = {**needed, **own}
    if isinstance(settings.get("callback"), Mapping):
        settings["callback"] = {key: Secret(_said(account.name, key)) for key in settings["callback"]}
    secret = _aes_key(account.name) + "=" if account.channel == "youdu" else f"secret-of-{account.name}"
    return replace(
        account,
        base_url=VENDOR,
        settings=settings,
        secret=Secret(lambda: secret),
        egress=DIRECT,
        staging=LIVE,
        token_provider=None,
        previous=None,
    )


def _said(account: str, key: str) -> Any:
    return lambda: _aes_key(account) if key == "aes_key" else f"token-of-{account}"


def _aes_key(account: str) -> str:
    """43 characters that an EncodingAESKey may have, the same for a name every time."""
    text = base64.b64encode(hashlib.sha256(account.encode()).digest()).decode().rstrip("=")
    return text.replace("+", "A").replace("/", "B")


def _enrol(vendor: SimulatorSettings, account: Account) -> None:
    """Makes an account known to the fake vendor, with the address of its callbacks."""
    settings, secret = account.settings, account.secret.read() if account.secret else ""
    held = settings.get("callback")
    called: dict[str, Any] = {"callback_url": None}
    if isinstance(held, Mapping):
        called = {f"callback_{key}": value.read() for key, value in held.items()}
        called["callback_url"] = CALLBACK + account.name
    match account.channel:
        case "wecom_app" | "wecom_external":
            app = AppSettings(
                corpid=settings["corpid"],
                secret=secret,
                agentid=settings.get("agentid"),
                callback=held is not False,
                **called,
            )
            vendor.apps.append(app)
        case "wecom_webhook":
            profile = "internal" if settings["edition"] == "push" else "public"
            vendor.webhook.keys.append(WebhookKey(key=secret, profile=profile, **called))
        case "youdu":
            called.pop("callback_aes_key", None)
            vendor.youdu.buin = settings["buin"]
            apps = [app for app in vendor.youdu.apps if app.appid != settings["appid"]]
            role = next((app.role for app in vendor.youdu.apps if app.appid == settings["appid"]), "message")
            vendor.youdu.apps = [*apps, YouduApp(appid=settings["appid"], aes_key=secret, role=role, **called)]
