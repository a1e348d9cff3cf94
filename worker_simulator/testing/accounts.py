"""The accounts of a test: the application's own names and settings, with made-up secrets, at the fake vendor.

Without a worker.toml every name is a WeCom app with a callback URL.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
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
_FIRST_AGENTID = 1_000_002
_REQUIRED_SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "wecom_app": {**_CORP, "agentid": _FIRST_AGENTID},
    "wecom_external": _CORP,
    "wecom_webhook": {"edition": "push"},
    "youdu": {"buin": 12_345_678, "appid": "yd00112233445566778899AABBCCDDEEFF", "invalid_users": "partial"},
}
"""The settings that each channel requires, used if the account does not have them."""

SettingsSource = Settings | AccountSource | Mapping[str, Any] | str | Path | None
"""How an application is configured: settings, a file or tables of them, or an account source of its own."""


def settings_of(source: SettingsSource) -> Settings:
    """Returns the settings of a test. None stands for WORKER_CONFIG or ./worker.toml, if there is one."""
    match source:
        case Settings():
            return source
        case str() | Path():
            return load_settings(source)
        case Mapping():
            return validated(Settings, source)
        case None if settings_file() is not None:
            return load_settings()
        case _:
            return Settings()


def source_of(source: SettingsSource, settings: Settings) -> AccountSource | None:
    """Returns the application's accounts, or None if it has named none."""
    if source is not None and not isinstance(source, Settings | Mapping | str | Path):
        return source
    tables = settings.accounts
    return FixedAccounts(account_of(name, table, settings) for name, table in tables.items()) if tables else None


class KitAccounts:
    """The accounts of a test. Each is registered in the fake vendor's settings when it is first used with them."""

    def __init__(self, source: AccountSource | None, vendor: Callable[[], SimulatorSettings]):
        """`vendor` returns the fake vendor's settings, which a reset may replace."""
        self._source, self._vendor = source, vendor
        self._accounts: dict[str, Account] = {}
        self._registered_at: dict[str, SimulatorSettings] = {}

    def get(self, name: str) -> Account:
        """Returns an account. Raises UnknownAccount if the application has named others and not this one."""
        account = self._accounts.get(name)
        if account is None:
            own = self._source.get(name) if self._source else _made_up(name, len(self._accounts))
            account = self._accounts[name] = _without_vendor(own)
        if self._registered_at.get(name) is not (settings := self._vendor()):
            self._registered_at[name] = settings
            _register(settings, account)
        return account

    def names(self) -> tuple[str, ...]:
        """Returns the names of all accounts, or of those used so far if the application has named none."""
        return self._source.names() if self._source else tuple(sorted(self._accounts))


def _made_up(name: str, number: int) -> Account:
    """Returns an app with an agentid of its own, by which the fake vendor finds where its callbacks go."""
    settings = {"agentid": _FIRST_AGENTID + number, "callback": {"token": Secret(str), "aes_key": Secret(str)}}
    return Account(name, "wecom_app", VENDOR, settings, allow_everyone=True)


def _without_vendor(account: Account) -> Account:
    """Returns the account with the settings its channel requires, and with nothing that leads to the real vendor."""
    required = _REQUIRED_SETTINGS.get(account.channel, {})
    configured = {key: value for key, value in account.settings.items() if key not in SUITE_KEYS}
    settings = {**required, **configured}
    if isinstance(settings.get("callback"), Mapping):
        settings["callback"] = {key: Secret(_made_up_value(account.name, key)) for key in settings["callback"]}
    secret = _aes_key(account.name) + "=" if account.channel == "youdu" else f"secret-of-{account.name}"
    return replace(
        account,
        base_url=VENDOR,
        settings=settings,
        secret=Secret(lambda: secret),
        egress=DIRECT,
        staging=LIVE,
        token_provider=None,
        previous_credentials=None,
    )


def _made_up_value(account: str, key: str) -> Any:
    return lambda: _aes_key(account) if key == "aes_key" else f"token-of-{account}"


def _aes_key(account: str) -> str:
    """Returns a valid EncodingAESKey of 43 characters, always the same for a name."""
    text = base64.b64encode(hashlib.sha256(account.encode()).digest()).decode().rstrip("=")
    return text.replace("+", "A").replace("/", "B")


def _register(vendor: SimulatorSettings, account: Account) -> None:
    """Adds an account to the fake vendor's settings, with its callback URL."""
    settings, secret = account.settings, account.secret.read() if account.secret else ""
    callback = settings.get("callback")
    address: dict[str, Any] = {"callback_url": None}
    if isinstance(callback, Mapping):
        address = {f"callback_{key}": value.read() for key, value in callback.items()}
        address["callback_url"] = CALLBACK + account.name
    match account.channel:
        case "wecom_app" | "wecom_external":
            app = AppSettings(
                corpid=settings["corpid"],
                secret=secret,
                agentid=settings.get("agentid"),
                callback=callback is not False,
                **address,
            )
            vendor.apps.append(app)
        case "wecom_webhook":
            profile = "internal" if settings["edition"] == "push" else "public"
            vendor.webhook.keys.append(WebhookKey(key=secret, profile=profile, **address))
        case "youdu":
            address.pop("callback_aes_key", None)
            vendor.youdu.buin = settings["buin"]
            apps = [app for app in vendor.youdu.apps if app.appid != settings["appid"]]
            role = next((app.role for app in vendor.youdu.apps if app.appid == settings["appid"]), "message")
            vendor.youdu.apps = [*apps, YouduApp(appid=settings["appid"], aes_key=secret, role=role, **address)]
