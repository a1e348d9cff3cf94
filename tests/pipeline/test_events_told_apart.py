"""Signed callbacks of every channel through the receiver: each event is stored, and its repeats are not."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.channels.callback_samples import AES_KEY, NOW, TOKEN, Sent, sent
from tests.pipeline.suite_site import SUITE, a_suite
from tests.pipeline.webhook_site import KEY, a_webhook
from tests.support.asgi import asked
from tests.support.runtime import an_account
from tests.support.youdu_client import APP, BUIN, KEYS
from worker import FixedAccounts
from worker.config.settings import Settings
from worker.crypto.envelope import Envelope
from worker.crypto.youdu import YouduEnvelope, signature
from worker.domain.account import Account, Secret
from worker.hooks.callbacks import CallbackStore
from worker.hooks.verifiers import Verifiers
from worker.outbox.engine.database import Database
from worker.service.web.receiver import Receiver

CALLBACK = {"token": Secret(lambda: TOKEN), "aes_key": Secret(lambda: AES_KEY)}
ACCOUNTS = FixedAccounts(
    [
        an_account(settings={"callback": CALLBACK}),
        a_suite("http://vendor"),
        a_webhook("http://vendor", settings={"callback": CALLBACK}),
        Account(
            "oa",
            "youdu",
            "http://youdu",
            {"buin": BUIN, "appid": APP, "callback": {"token": CALLBACK["token"]}},
            Secret(lambda: KEYS[APP]),
        ),
    ]
)
SECOND = int(NOW)
KINDS = ("<JobType>sync_user</JobType>", "<JobType>replace_user</JobType>")

Seal = Callable[[str, int], Sent]


def app(message: str, delivery: int) -> Sent:
    """A delivery to an application's address: each has a timestamp, a nonce and an encryption of its own."""
    return sent(message, at=NOW + delivery, nonce=f"n{delivery}", random=bytes([delivery]) * 16)


def suite(message: str, delivery: int) -> Sent:
    return sent(message, corp=SUITE, at=NOW + delivery, nonce=f"n{delivery}", random=bytes([delivery]) * 16)


def robot(message: str, delivery: int) -> Sent:
    timestamp, random = str(SECOND + delivery), bytes([delivery]) * 16
    encrypted, signed = Envelope(TOKEN, AES_KEY, "").seal(message.encode(), timestamp, "n", random)
    query = {"msg_signature": signed, "timestamp": timestamp, "nonce": "n"}
    return Sent(query, json.dumps({"encrypt": encrypted}).encode())


def youdu(message: str, delivery: int) -> Sent:
    timestamp = str(SECOND + delivery)
    encrypted = YouduEnvelope(KEYS[APP], APP).seal(message.encode(), bytes([delivery]) * 16)
    query = {"msg_signature": signature(TOKEN, timestamp, "n", encrypted), "timestamp": timestamp, "nonce": "n"}
    return Sent(query, json.dumps({"toBuin": BUIN, "toApp": APP, "encrypt": encrypted}).encode())


def event(inside: str, person: str = "lisi") -> str:
    """An application's event; all of them of one second (page 90240)."""
    return (
        f"<xml><ToUserName>ww1</ToUserName><FromUserName><![CDATA[{person}]]></FromUserName>"
        f"<CreateTime>{SECOND}</CreateTime><MsgType>event</MsgType>{inside}</xml>"
    )


def approval(number: int) -> str:
    return event(f"<Event>sys_approval_change</Event><ApprovalInfo><SpNo>{number}</SpNo></ApprovalInfo>", "sys")


def contact(change: str, inside: str) -> str:
    changed = f"<ChangeType>{change}</ChangeType>{inside}"
    return event(f"<Event>change_external_contact</Event>{changed}", "sys")


def chosen(option: str) -> str:
    """Of a vote that gives no code: only what was chosen differs."""
    items = (
        f"<SelectedItem><QuestionKey>q</QuestionKey><OptionIds><OptionId>{option}</OptionId></OptionIds></SelectedItem>"
    )
    return event(
        "<Event>template_card_event</Event><EventKey>submit</EventKey><TaskId>t</TaskId>"
        f"<CardType>vote_interaction</CardType><SelectedItems>{items}</SelectedItems><AgentID>7</AgentID>"
    )


def scanned(result: str) -> str:
    info = f"<ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult>{result}</ScanResult></ScanCodeInfo>"
    return event(f"<Event>scancode_push</Event><EventKey>menu-1</EventKey>{info}<AgentID>7</AgentID>")


def located(latitude: str) -> str:
    return event(f"<Event>LOCATION</Event><Latitude>{latitude}</Latitude><Longitude>113.3</Longitude>")


def written(msgid: int, text: str = "yes") -> str:
    """A member's message (page 90239)."""
    return (
        f"<xml><FromUserName>lisi</FromUserName><CreateTime>{SECOND}</CreateTime><MsgType>text</MsgType>"
        f"<Content>{text}</Content><MsgId>{msgid}</MsgId><AgentID>7</AgentID></xml>"
    )


def authorised(info: str, inside: str) -> str:
    head = f"<SuiteId>{SUITE}</SuiteId><TimeStamp>{SECOND}</TimeStamp><InfoType>{info}</InfoType>"
    return f"<xml>{head}{inside}</xml>"


def clicked(name: str, **more: str) -> str:
    """A button below a robot's message."""
    actions = [{"name": name, "value": "1", "type": "button"}]
    said = {"msgtype": "attachment", "chatid": "wr1", "chattype": "group", "from": {"userid": "lisi"}, **more}
    url = f"http://in.example.com/cgi-bin/webhook/send?key={KEY}"
    return json.dumps({"webhook_url": url, "attachment": {"callbackid": "c", "actions": actions}, **said})


def spoken(**more: object) -> str:
    said = {"fromUser": "alice", "createTime": SECOND, "msgType": "text", "text": {"content": "hi"}}
    return json.dumps({**said, **more})


EVENTS: dict[str, tuple[Seal, list[str]]] = {
    "hr": (
        app,
        [
            *(approval(number) for number in (1, 2)),
            contact("add_external_contact", "<UserID>a</UserID><ExternalUserID>wm1</ExternalUserID>"),
            contact("add_external_contact", "<UserID>a</UserID><ExternalUserID>wm2</ExternalUserID>"),
            contact("add_external_contact", "<UserID>b</UserID><ExternalUserID>wm2</ExternalUserID>"),
            contact("del_follow_user", "<UserID>b</UserID><ExternalUserID>wm2</ExternalUserID>"),
            *(event(f"<Event>change_external_chat</Event><ChatId>wr{n}</ChatId>", "sys") for n in (1, 2)),
            *(event(f"<Event>change_external_tag</Event><TagType>{kind}</TagType>") for kind in ("tag", "tag_group")),
            *(event(f"<Event>change_contact</Event><UserID>{one}</UserID>", "sys") for one in "ab"),
            *(event(f"<Event>batch_job_result</Event><BatchJob><JobId>j</JobId>{n}</BatchJob>") for n in KINDS),
            *(chosen(option) for option in "ab"),
            *(scanned(result) for result in "12"),
            *(located(latitude) for latitude in ("23.1", "23.2")),
            *(event("<Event>subscribe</Event>", person) for person in "ab"),
            *(event(f"<Event>x</Event><MsgId>5</MsgId><Status>{one}</Status>") for one in ("begun", "ended")),
            *(written(1), written(2), written(2, "no")),
        ],
    ),
    "oursuite": (
        suite,
        [
            *(authorised("create_auth", f"<AuthCode>{code}</AuthCode>") for code in "ab"),
            *(authorised("suite_ticket", f"<SuiteTicket>{code}</SuiteTicket>") for code in "ab"),
            *(authorised("change_auth", f"<AuthCorpId>{corp}</AuthCorpId>") for corp in ("ww1", "ww2")),
            *(authorised("change_contact", f"<UserID>{one}</UserID>") for one in "ab"),
        ],
    ),
    "alerts": (
        robot,
        [
            *(clicked(name) for name in ("ok", "no")),
            *(clicked(name, msgid="m1") for name in ("ok", "no")),
            *(clicked("ok", get_chat_info_url=f"http://in.example.com/{n}") for n in (1, 2)),
        ],
    ),
    "oa": (
        youdu,
        [
            *(spoken(), spoken(text={"content": "no"}), spoken(text={"content": "\x00"})),
            *(spoken(packageId="p1"), spoken(packageId="p2"), spoken(packageId="p2", fromUser="bob")),
        ],
    ),
}


@pytest.mark.fewer_databases("the identity of an event is made before any SQL")
@pytest.mark.parametrize("account", EVENTS)
def test_events_of_one_second_are_stored_and_their_repeats_are_not(database: Database, account: str) -> None:
    """Two that differ in any one field are two; the same content again, encrypted anew, is a repeat."""
    receiver = Receiver(
        Verifiers(ACCOUNTS, 300).of, CallbackStore(database, Settings(), ACCOUNTS).store, now=lambda: NOW
    )

    seal, messages = EVENTS[account]
    deliveries = [seal(message, delivery) for delivery in range(3) for message in messages]
    statuses = [asked(receiver.app, "POST", f"/callback/{account}", one.query, one.body).status for one in deliveries]

    assert [200] * 3 * len(messages) == statuses
    with database.reading() as connection:
        [[stored]] = connection.exec_driver_sql("select count(*) from worker_inbound").all()
    assert len(messages) == stored
