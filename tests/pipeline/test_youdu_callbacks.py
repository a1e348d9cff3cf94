"""Callbacks of a Youdu server through a real receiver into SQL: each once, and answered as the server wants it."""

from __future__ import annotations

import json
import time

import requests

from tests.support.listening import listening
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import FixedAccounts
from worker.channels.registry import channel
from worker.config.settings import Settings
from worker.crypto.youdu import YouduEnvelope, signature
from worker.domain.account import Account, Secret
from worker.hooks.callbacks import CallbackStore
from worker.outbox.engine.database import Database
from worker.service.web.receiver import Receiver

TOKEN = "u7cbtoken0000001"


def post(url: str, said: dict[str, object], random: bytes, token: str = TOKEN) -> requests.Response:
    """One delivery, encrypted anew."""
    encrypted = YouduEnvelope(KEYS[APP], APP).seal(json.dumps(said).encode(), random)
    timestamp = str(int(time.time()))
    query = {"timestamp": timestamp, "nonce": "n", "msg_signature": signature(token, timestamp, "n", encrypted)}
    body = {"toBuin": BUIN, "toApp": APP, "encrypt": encrypted}
    with requests.Session() as session:
        session.trust_env = False
        return session.post(f"{url}/callback/oa", params=query, json=body, timeout=60)


def test_a_message_is_stored_once_and_answered_in_json(database: Database) -> None:
    """However often and however encrypted it comes; what proves wrong is not stored and not taken."""
    settings = {"buin": BUIN, "appid": APP, "callback": {"token": Secret(lambda: TOKEN)}}
    account = Account("oa", "youdu", "http://youdu", settings, Secret(lambda: KEYS[APP]))
    secrets = {name: one.read() for name, one in channel("youdu").callback_secrets(account).items()}
    door = channel("youdu").callback_verifier(account, secrets, 300)
    receiver = Receiver({"oa": door}.get, CallbackStore(database, Settings(), FixedAccounts([account])).store)
    said = {"fromUser": "alice", "createTime": 1, "packageId": "p1", "msgType": "text", "text": {"content": "hi"}}
    with listening(receiver.app) as url:
        answers = [post(url, said, bytes([n]) * 16) for n in range(3)]
        wrong = post(url, {**said, "packageId": "p2"}, bytes(16), token="another")
        login = post(url, {**said, "packageId": "p3", "msgType": "auth", "passwd": "x"}, bytes(16))

    with database.reading() as connection:
        rows = connection.exec_driver_sql("select event, person, payload from worker_inbound").all()
    assert [(one.status_code, one.json()) for one in answers] == [(200, {"errcode": 0, "errmsg": "ok"})] * 3
    assert [wrong.status_code, login.status_code] == [403, 403]
    assert [(row[0], row[1]) for row in rows] == [("message:text", "alice")]
    assert "hi" in rows[0][2]
