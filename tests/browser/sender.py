"""Sends messages of all four channels to a simulator over HTTP, as their applications do.

Knows the vendors' calls, and nothing of the inbox.
"""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

import requests

from tests.support import youdu_client
from worker.drawing import Channel

PERSON = "chenmo"
CHAT = "project"
GROUP, SINGLE, BOARD = "wrteam", "wolihua", "bbnews"
CUSTOMERS = ["wmanna", "wmbela", "wmchen"]
HOOK = {"key": "693a91f6-7aoc-4bc4-97a0-0ec2sifa5aaa"}
APP, CORP, SECRET = 1000002, "ww-demo", "secret"
YOUDU_APPS = {"sms": "sysSmsAssistant", "mail": "sysExmailAssistant", "sysMsg": "sysMsgAssistant"}
"""The app that may send a type, where it is not an ordinary one."""


class Sender:
    """One application of each channel."""

    def __init__(self, url: str, corp: str = CORP):
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        query = {"corpid": corp, "corpsecret": SECRET}
        self._token = self._session.get(f"{url}/cgi-bin/gettoken", params=query, timeout=60).json()["access_token"]
        self._youdu = {app: youdu_client.Client(url, app) for app in (youdu_client.APP, *YOUDU_APPS.values())}

    def close(self) -> None:
        """Closes its connections."""
        for session in (self._session, *(client.session for client in self._youdu.values())):
            session.close()

    def control(self, name: str, body: Any = None, **query: str) -> Any:
        """A control call that must succeed."""
        method = "GET" if body is None else "POST"
        reply = self._session.request(method, f"{self.url}/_control/{name}", json=body, params=query, timeout=60)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def send(self, channel: Channel, msgtype: str, content: Any, to: str = "", **more: Any) -> dict[str, Any]:
        """One message to one person or chat; the answer, which must be good."""
        match channel:
            case "wecom_app":
                answer = self._app("message/send", msgtype, content, touser=to or PERSON, agentid=APP, **more)
            case "wecom_webhook":
                answer = self._hook(msgtype, content, chatid=to or GROUP, **more)
            case "wecom_external":
                task = {"chat_type": "single", "sender": to or PERSON, "external_userid": CUSTOMERS}
                answer = self._post("externalcontact/add_msg_template", {**task, **content}, **self._named)
            case "youdu":
                answer = self._to_youdu(msgtype, content, to or PERSON)
        assert answer["errcode"] == 0, (channel, msgtype, answer, content)
        return answer

    def to_chat(self, msgtype: str, content: Any) -> None:
        """One message to the group chat of the application."""
        answer = self._app("appchat/send", msgtype, content, chatid=CHAT)
        assert answer["errcode"] == 0, (msgtype, answer)

    def call(self, path: str, **body: Any) -> dict[str, Any]:
        """Another call of the application."""
        return self._post(path, body, **self._named)

    def upload(self, kind: str, name: str, content: bytes, path: str = "media/upload") -> str:
        """A file of the application, or of the webhook; its media_id."""
        query = {"type": kind, **(self._named if path == "media/upload" else HOOK)}
        files = {"media": (name, content, "application/octet-stream")}
        reply = self._session.post(f"{self.url}/cgi-bin/{path}", params=query, files=files, timeout=60).json()
        return str(reply["media_id"])

    def upload_to_youdu(self, kind: str, name: str, content: bytes) -> str:
        """A file of Youdu's ordinary app; its mediaId."""
        client = self._youdu[youdu_client.APP]
        return str(client.opened(client.upload(content, kind, name)["encrypt"])["mediaId"])

    @property
    def _named(self) -> dict[str, str]:
        return {"access_token": self._token}

    def _app(self, path: str, msgtype: str, content: Any, **more: Any) -> dict[str, Any]:
        return self._post(path, {"msgtype": msgtype, msgtype: content, **more}, **self._named)

    def _hook(self, msgtype: str, content: Any, **more: Any) -> dict[str, Any]:
        return self._post("webhook/send", {"msgtype": msgtype, msgtype: content, **more}, **HOOK)

    def _post(self, path: str, body: Any, **query: str) -> dict[str, Any]:
        text = json.dumps(body, ensure_ascii=False).encode()
        reply = self._session.post(f"{self.url}/cgi-bin/{path}", params=query, data=text, timeout=60)
        answer: dict[str, Any] = reply.json()
        return answer

    def _to_youdu(self, msgtype: str, content: Any, to: str) -> dict[str, Any]:
        client = self._youdu[YOUDU_APPS.get(msgtype, youdu_client.APP)]
        match msgtype:
            case "pop_window":
                return client.legacy("popwindow", {"toUser": to, "popWindow": content})
            case "badge":
                return client.legacy("set.ent.notice", {"account": to, **content})
        return client.send(msgtype, content, to=to)


def as_webhook_image(content: bytes) -> dict[str, str]:
    """A picture in a webhook's message."""
    return {"base64": base64.b64encode(content).decode(), "md5": hashlib.md5(content).hexdigest()}
