"""The inbox of a simulator in a thread, as a browser asks for it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import pytest
import requests

from tests.unit.simulator.conftest import Vendor
from tests.unit.simulator.test_simulator_callbacks import KEY, TOKEN, Address

AT = "app:ww1%2F1:chenmo"
"""What the app 1 of ww1 and chenmo have between them."""


class Browser:
    """Asks for pages, and posts what their forms hold."""

    def __init__(self, vendor: Vendor) -> None:
        self.vendor, self.url = vendor, vendor.url
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, headers: dict[str, str] | None = None, **query: Any) -> requests.Response:
        """One answer; redirects are not followed."""
        return self.session.get(self.url + path, params=query, headers=headers, timeout=60, allow_redirects=False)

    def text(self, path: str = "/", **query: Any) -> str:
        """A page that must be there."""
        reply = self.get(path, **query)
        assert reply.status_code == 200, reply.text
        return reply.text

    def talk(self, at: str = AT, **query: Any) -> str:
        """A conversation."""
        return self.text("/_inbox/talk", at=at, **{"lang": "en", **query})

    def panel(self, name: str, **query: Any) -> str:
        """A panel, its tags taken out and its texts as they are read."""
        return plain(self.text("/_inbox/panel", panel=name, **{"lang": "en", **query}))

    def act(self, name: str, headers: dict[str, str] | None = None, **form: Any) -> requests.Response:
        """What a form of the page posts, as a browser does."""
        own = {"Sec-Fetch-Site": "same-origin", "Origin": "null", "Accept-Language": "en"} | (headers or {})
        own["Content-Type"] = "application/x-www-form-urlencoded"
        address = f"{self.url}/_inbox/act/{name}"
        return self.session.post(address, data=form, headers=own, timeout=60, allow_redirects=False)

    def told(self, name: str, **form: Any) -> tuple[bool, str]:
        """What a script is told of an act."""
        reply = self.act(name, {"Accept": "application/json"}, **form).json()
        return reply["ok"], reply["notice"]


def plain(html: str) -> str:
    """The text of a page, each stretch of white space as one space."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", html)).split())


def form_of(html: str, action: str) -> dict[str, str]:
    """The hidden fields of the last form that posts to an act."""
    form = re.findall(rf'<form[^>]*action="/_inbox/act/{action}".*?</form>', html, re.S)[-1]
    return {
        unescape(name): unescape(value)
        for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', form)
    }


@pytest.fixture
def browser(vendor: Vendor) -> Iterator[Browser]:
    made = Browser(vendor)
    yield made
    made.session.close()


@pytest.fixture
def address(vendor: Vendor) -> Iterator[Address]:
    """Where the callbacks of the app 1 of ww1, of the webhook `k1` and of Youdu's app go."""
    made = Address()
    called = {"callback_url": made.url, "callback_token": TOKEN}
    apps = vendor.control("GET", "settings")["youdu"]["apps"]
    vendor.settings(
        apps=[{"corpid": "ww1", "secret": "s1", "agentid": 1, "callback_aes_key": KEY, **called}],
        webhook={"keys": [{"key": "k1", "callback_aes_key": KEY, **called}]},
        youdu={"apps": [app | called for app in apps]},
        callbacks={"pause_s": 0.01},
    )
    yield made
    made.close()
