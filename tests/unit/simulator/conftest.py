"""A full simulator in a thread, and a small client of the vendor's API and of control."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from rig.stack import until
from worker_simulator.server import running
from worker_simulator.settings import SimulatorSettings


class Vendor:
    """Calls the simulator the way a worker would."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.session = requests.Session()
        self.session.trust_env = False
        self._tokens: dict[tuple[str, str], str] = {}

    def control(self, method: str, name: str, body: Any = None, **query: Any) -> Any:
        """A control call that must succeed."""
        reply = self.session.request(method, f"{self.url}/_control/{name}", json=body, params=query, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def gettoken(self, corpid: str = "ww1", secret: str = "s1") -> dict[str, Any]:
        """The reply of gettoken."""
        query = {"corpid": corpid, "corpsecret": secret}
        return self.session.get(f"{self.url}/cgi-bin/gettoken", params=query, timeout=60).json()

    def token(self, corpid: str = "ww1", secret: str = "s1") -> str:
        """A token, fetched once."""
        if (corpid, secret) not in self._tokens:
            self._tokens[corpid, secret] = self.gettoken(corpid, secret)["access_token"]
        return self._tokens[corpid, secret]

    def post(self, path: str, body: Any, *, token: str | None = None, timeout: float = 60, **query: Any) -> Any:
        """The HTTP response of a POST; bytes are sent as they are."""
        data = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
        query = {"access_token": token or self.token(), **query}
        return self.session.post(f"{self.url}/cgi-bin/{path}", params=query, data=data, timeout=timeout)

    def send(self, body: Any, **options: Any) -> dict[str, Any]:
        """The reply of message/send."""
        return self.post("message/send", body, **options).json()

    def recall(self, msgid: str, **options: Any) -> int:
        """The code of message/recall."""
        return self.post("message/recall", {"msgid": msgid}, **options).json()["errcode"]

    def update(self, body: dict[str, Any], **options: Any) -> dict[str, Any]:
        """The reply of message/update_template_card."""
        return self.post("message/update_template_card", {"agentid": 1, **body}, **options).json()

    def upload(self, content: bytes, kind: str = "file", name: str = "a.txt", **options: Any) -> dict[str, Any]:
        """The reply of media/upload."""
        query = {"access_token": options.get("token") or self.token(), "type": kind}
        files = {"media": (name, content, "application/octet-stream")}
        return self.session.post(f"{self.url}/cgi-bin/media/upload", params=query, files=files, timeout=60).json()

    def settings(self, **changes: Any) -> None:
        """Merge settings."""
        self.control("POST", "settings", changes)

    def faults(self, *rules: dict[str, Any]) -> None:
        """Add fault rules."""
        self.control("POST", "faults", list(rules))

    def advance(self, seconds: float) -> None:
        """Move the clock."""
        self.control("POST", "clock", {"advance_s": seconds})

    def calls(self, **query: Any) -> list[dict[str, Any]]:
        """The log."""
        return self.control("GET", "calls", **query)["calls"]

    def inbox(self, user: str) -> list[dict[str, Any]]:
        """What a person sees."""
        return self.control("GET", "inbox", user=user)["messages"]

    def violations(self, **query: Any) -> dict[str, Any]:
        """What was overstepped."""
        return self.control("GET", "violations", **query)

    @staticmethod
    def until(happened: Callable[[], bool]) -> None:
        """Wait until something has happened."""
        until(happened, "it happens")

    def connect(self) -> socket.socket:
        """A raw connection."""
        parts = urlsplit(self.url)
        return socket.create_connection((parts.hostname, parts.port), timeout=60)

    def raw(self, data: bytes) -> bytes:
        """Send bytes and read until the other side ends."""
        with self.connect() as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.fixture(scope="session")
def simulator_url() -> Iterator[str]:
    """One simulator for all tests."""
    with running(SimulatorSettings()) as url:
        yield url


@pytest.fixture
def vendor(simulator_url: str) -> Iterator[Vendor]:
    """A client of a simulator that was just reset."""
    client = Vendor(simulator_url)
    client.control("POST", "reset", {"settings": {}})
    yield client
    client.session.close()


def text(content: str = "hi", to: str = "chenmo", **more: Any) -> dict[str, Any]:
    """A text message."""
    return {"touser": to, "msgtype": "text", "agentid": 1, "text": {"content": content}, **more}


def card(to: str = "chenmo", **more: Any) -> dict[str, Any]:
    """A button card."""
    body = {
        "card_type": "button_interaction",
        "task_id": "t1",
        "main_title": {"title": "leave"},
        "button_list": [{"text": "yes", "key": "y"}],
        **more,
    }
    return {"touser": to, "msgtype": "template_card", "agentid": 1, "template_card": body}


@pytest.fixture(name="text")
def text_fixture() -> Any:
    """Makes a text message."""
    return text


@pytest.fixture(name="card")
def card_fixture() -> Any:
    """Makes a button card."""
    return card
