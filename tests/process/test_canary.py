"""Secrets, texts and people stay out of broker, Flower, logs and keys."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, cast

import pytest
import requests
import trustme

from rig.servers.own_rabbitmq import RabbitMQ
from rig.stack import ACCOUNT, SECRET, SHORT, Stack, Vendor, until
from rig.stacks import EMBEDDED, RABBITMQ, Make, on_stacks
from rig.tcp_door import Door
from tests.process.central_tokens import CENTRAL
from tests.process.eavesdropper import listening
from tests.process.office import KEY, TOKEN, Office
from tests.process.test_flower import answer_of, start_flower
from worker import (
    ButtonCard,
    Chats,
    CheckFailed,
    Customers,
    DedupeConflict,
    File,
    Image,
    Text,
    To,
    enqueue,
    external,
    webhook,
    youdu,
)
from worker.channels.wecom.cards import MainTitle
from worker.channels.wecom_app.cards import Button
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import WorkerError
from worker_simulator.settings.youdu import key_of

TEXT, PERSON = "canary-text", "canary-person"
CANARIES = (SECRET, "canary-text", "canary-person", "canary-title", "canary-file", "ww-canary-corp", "canary-url")


YOUDU_KEY = key_of(0)
BEARER = "canary-bearer"
CORP_TOKEN = "/cgi-bin/service/get_corp_token"
ELSEWHERE = """channel = "wecom_app"
corpid = "ww-canary-corp-2"
agentid = 7
token_provider = "tests.process.central_tokens:told"
base_url = "http://127.0.0.1:PORT"

[accounts.by-url]
channel = "wecom_app"
corpid = "ww-canary-corp-2"
agentid = 8
token_provider = { url = "http://127.0.0.1:PORT/tokens", bearer = { env = "CANARY_BEARER" } }
base_url = "http://127.0.0.1:PORT"

[accounts.suite]
channel = "wecom_suite"
suite_id = "wwsuite"
secret = { file = "FOLDER/secret" }
callback = { token = { env = "CALLBACK_TOKEN" }, aes_key = { env = "CALLBACK_AES_KEY" } }
base_url = "http://127.0.0.1:PORT"

[accounts.acme]
channel = "wecom_app"
suite = "suite"
corpid = "ww-canary-corp-3"
agentid = 7
base_url = "http://127.0.0.1:PORT"
"""
OTHER_CHANNELS = """
[accounts.push]
channel = "wecom_webhook"
edition = "push"
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"

[accounts.push-tls]
channel = "wecom_webhook"
edition = "push"
secret = { file = "FOLDER/secret" }
base_url = "https://127.0.0.1:PORT"

[accounts.sales]
channel = "wecom_external"
corpid = "ww-canary-corp"
secret = { file = "FOLDER/secret" }
base_url = "http://127.0.0.1:PORT"

[accounts.server]
channel = "youdu"
buin = 12345678
appid = "yd00112233445566778899AABBCCDDEEFF"
secret = { env = "CANARY_YOUDU_KEY" }
base_url = "http://127.0.0.1:PORT"
"""


@on_stacks()
def test_no_canary_leaves(make: Make, own_rabbitmq: RabbitMQ) -> None:
    """At debug level, with refusals, cuts, a stale token and a TLS connection that fails.

    Embedded has no broker that others could hear, and no Flower.
    """
    broker = _heard_broker(make, own_rabbitmq)
    # https against a server that speaks http: the failing connection's URL would hold the token.
    delivery = {**SHORT, "fetch_allow": ["localhost"]}
    account = "[accounts.tls]\n" + _tls_account() + OTHER_CHANNELS
    stack = make(broker=broker, account=account, delivery=delivery, env={"CANARY_YOUDU_KEY": YOUDU_KEY})
    url = _flower_of(stack)
    stack.vendor.faults(*_troubles())
    stack.process("worker.cli", "metrics", "--listen", "127.0.0.1:0")
    stack.until_logged("metrics listening on ")
    with _listening(stack) as heard:
        _ask(stack)
        stack.worker(loglevel="DEBUG")
        left = "select count(*) from worker_jobs where account in ('hr', 'push', 'sales', 'server') and n_open > 0"
        until(lambda: stack.number(left) == 0, "sent")
        until(
            lambda: len(stack.rows("select 1 from worker_lanes where lane in ('tls', 'push-tls')")) == 2, "TLS failed"
        )
        _until_flower_heard(url, 4)
        _fail_a_doorbell(stack)

        places = _places(stack, url, heard)

    canaries = [*CANARIES, YOUDU_KEY, *_tokens(stack.vendor)]
    assert [(place, canary) for place, text in places.items() for canary in canaries if canary in text] == []
    assert make.name == EMBEDDED or _heard_doorbells(stack, heard)
    assert "attempt" in places["logs"]
    assert 'worker_lanes{account="tls",scope="account"' in places["metrics"]
    tried = {line["channel"] for line in stack.lines() if line.get("event") == "attempt"}
    assert tried == {"wecom_app", "wecom_webhook", "wecom_external", "youdu"}
    fetched = {line["reason"].partition(":")[0] for line in stack.lines() if line.get("event") == "fetch"}
    assert fetched == {"is not fetched", "cannot be fetched"}
    assert len(canaries) > len(CANARIES), "tokens are known"


@on_stacks(EMBEDDED, why="neither a broker nor Flower is listened to")
def test_no_canary_leaves_with_tokens_from_elsewhere(make: Make) -> None:
    """Tickets, authorisations, codes and tokens of a suite, and a firm's own place of tokens, at debug level."""
    office = Office(make, account="[accounts.elsewhere]\n" + ELSEWHERE, more_env={"CANARY_BEARER": BEARER})
    stack = office.stack
    suite = {"suite_id": "wwsuite", "secret": SECRET, "callback_url": f"{office.url}/callback/suite"}
    suite |= {"callback_token": TOKEN, "callback_aes_key": KEY}
    stack.vendor.post("settings", {"suite": {"known": [suite]}, "callbacks": {"copies": 2}})
    stack.vendor.faults({"match": {"path": CORP_TOKEN}, "times": 1, "action": {"answer": {"errcode": 42009}}})
    stack.worker(loglevel="DEBUG")
    for act in ("ticket", "authorise", "change"):
        stack.vendor.post("suite", {"act": act, "suite_id": "wwsuite", "corpid": "ww-canary-corp-3", "agentid": 7})
    stack.until_logged('"authorised"')
    with stack.database.writing() as connection:
        for account in ("elsewhere", "acme", "by-url"):
            enqueue(connection, account, Text(content=TEXT), To(users=[PERSON]), accounts=stack.accounts)

    accepted = "select count(*) from worker_jobs where account = 'acme' and n_open = 0"
    until(lambda: stack.number(accepted) == 1, "sent through the suite", 120)
    refused = "select 1 from worker_attempts where errcode = 40014"
    until(lambda: stack.rows(refused), "the firm's token was refused", 120)
    until(lambda: stack.rows("select 1 from worker_lanes where lane = 'by-url'"), "the URL gave none")
    stored = ("grants", "inbound", "events", "tokens", "lane_events")
    places = _places(stack, "", []) | {name: str(stack.rows(f"select * from worker_{name}")) for name in stored}

    canaries = [*CANARIES, TEXT, BEARER, CENTRAL, TOKEN, KEY, *_credentials(stack.vendor)]
    told = {("grants", "ww-canary-corp"), ("inbound", "ww-canary-corp")}  # whose authorisation it is
    found = {(place, canary) for place, text in places.items() for canary in canaries if canary in text}
    assert found - told == set()
    assert "the token service answered http 404" in places["lanes"]


@on_stacks(RABBITMQ, why="the connection is the worker's own; what each broker hears, the first test tries")
def test_no_canary_leaves_a_broken_https_connection(make: Make, own_rabbitmq: RabbitMQ) -> None:
    """Over TLS, with a token in the URL: calls that are reset, cut, and cut off by the network tell nobody of it."""
    broker = _heard_broker(make, own_rabbitmq)
    make.folder.mkdir(parents=True)
    certificate, authority = _certificates(make.folder)
    with (
        closing(Vendor(make.folder, certificate=certificate, authority=authority)) as vendor,
        closing(Door("127.0.0.1", int(vendor.url.rpartition(":")[2]))) as door,
    ):
        stack = make(broker=broker, base_url=f"https://127.0.0.1:{door.at}", account=f'ca = "{authority}"\n')
        url = _flower_of(stack)
        vendor.faults(*_breaks())
        with _listening(stack) as heard:
            _ask_hr(stack)
            stack.worker(loglevel="DEBUG")
            until(lambda: any(call["fault"] == "hang" for call in vendor.calls()), "a call hangs with its token")

            door.shut()
            doubts = "select count(*) from worker_attempts where doubtful"
            until(lambda: stack.number(doubts) >= 3, "three calls broke with their token in the URL")
            broken = "select 1 from worker_lanes where reason like 'no connection%'"
            until(lambda: stack.rows(broken), "and none connects")
            _until_flower_heard(url, 3)
            places, tokens = _places(stack, url, heard), _tokens(vendor)

    assert len(tokens) == 1, "gettoken succeeded over TLS"
    assert [
        (place, canary) for place, text in places.items() for canary in (*CANARIES, *tokens) if canary in text
    ] == []
    assert _heard_doorbells(stack, heard)
    assert '"level": "debug"' in places["logs"]


@on_stacks()
def test_no_canary_is_in_an_exception(make: Make) -> None:
    """What enqueue raises, with its fields and causes, quotes neither text nor people."""
    stack = make()
    people = To(users=[PERSON])

    def refused(kind: type[WorkerError], message: Any, to: Any = people, key: str | None = None) -> str:
        return _raised(kind, lambda: enqueue(connection, ACCOUNT, message, to, accounts=stack.accounts, dedupe_key=key))

    with stack.database.writing() as connection:
        enqueue(connection, ACCOUNT, Text(content=TEXT), people, accounts=stack.accounts, dedupe_key="k")
        raised = [
            refused(CheckFailed, Text(content=TEXT * 400)),
            refused(CheckFailed, _odd_card()),
            refused(CheckFailed, TEXT),
            refused(CheckFailed, Text(content="x"), _odd_people()),
            refused(CheckFailed, Image(file=File.from_url("ftp://canary-url/canary-url"))),
            refused(DedupeConflict, Text(content=TEXT * 2), key="k"),
        ]

    assert [(text, canary) for text in raised for canary in CANARIES if canary in text] == []


def _places(stack: Stack, url: str, heard: list[str]) -> dict[str, str]:
    """Everything that others can read."""
    return {
        "broker": "\n".join(heard),
        "flower": str([answer_of(url, path) for path in ("/api/tasks", "/api/workers?refresh=1&status=1") if url]),
        "flower's view of the settings": str(answer_of(url, "/api/workers")) if url else "",
        "logs": stack.logs(),
        "metrics": _metrics(stack),
        "lanes": str(stack.rows("select lane, label, reason, remedy from worker_lanes")),
        "lane keys": str(stack.rows("select lane from worker_parts")),
        "limit keys": str(stack.rows("select id from worker_budgets")),
        "processes": str(stack.rows("select lanes from worker_processes")),
        "reasons": str(stack.rows("select reason from worker_attempts")),
        "reasons of parts": str(stack.rows("select reason from worker_parts")),
    }


def _metrics(stack: Stack) -> str:
    """What Prometheus is told where a process tells it."""
    listening = "metrics listening on "
    url = next((line.removeprefix(listening) for line in stack.logs().splitlines() if line.startswith(listening)), None)
    return "" if url is None else requests.get(f"{url}/metrics", timeout=30).text


def _fail_a_doorbell(stack: Stack) -> None:
    """A doorbell that ends in an exception, which the worker logs."""
    with stack.database.writing() as connection:
        connection.exec_driver_sql("alter table worker_bodies rename to worker_bodies_away")
    try:
        with stack.database.writing() as connection:
            enqueue(connection, ACCOUNT, Text(content=TEXT), To(users=[PERSON]), accounts=stack.accounts)
        stack.until_logged("doorbell_failed")
    finally:
        with stack.database.writing() as connection:
            connection.exec_driver_sql("alter table worker_bodies_away rename to worker_bodies")


def _raised(kind: type[WorkerError], act: Callable[[], object]) -> str:
    """All that an exception tells: its text, its repr, its fields, its causes."""
    with pytest.raises(kind) as caught:
        act()
    told, error = [], cast(BaseException | None, caught.value)
    while error is not None:
        told += [str(error), repr(error), str(error.args), str(vars(error))]
        error = error.__cause__ or error.__context__
    return "\n".join(told)


def _odd_card() -> ButtonCard:
    return ButtonCard(main_title=MainTitle(title=TEXT), button_list=[Button(text=TEXT, key=TEXT * 200)])


def _odd_people() -> To:
    return To(users=[f"{PERSON}|{PERSON}", PERSON * 20])


def _certificates(folder: Path) -> tuple[Path, Path]:
    """A certificate with its key for the fake vendor, and the authority that signed it."""
    authority, certificate, signer = folder / "authority.pem", folder / "vendor.pem", trustme.CA()
    signer.cert_pem.write_to_path(str(authority))
    signer.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
    return certificate, authority


def _breaks() -> list[dict[str, Any]]:
    """Three ways for a call to break after its URL, token and all, has left."""
    actions = {"reset_request_after": 200}, {"cut_response_after": 20}, {"hang": 60}
    match = {"path": "/cgi-bin/message/send"}
    return [{"match": {**match, "nth": n}, "times": 1, "action": action} for n, action in enumerate(actions, 1)]


def _ask(stack: Stack) -> None:
    _ask_hr(stack)
    _ask_other_channels(stack)
    with stack.database.writing() as connection:
        people = To(users=["canary-person-1", "ghost-canary-person"])
        enqueue(connection, "tls", Text(content="canary-text 3"), people, accounts=stack.accounts)
        port = stack.vendor.url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost"):  # one that may not be asked, one that has no picture
            url = f"http://canary-url:canary-url@{host}:{port}/canary-url.png?token=canary-url"
            enqueue(connection, ACCOUNT, Image(file=File.from_url(url)), people, accounts=stack.accounts)


def _ask_hr(stack: Stack) -> None:
    people = To(users=["canary-person-1", "ghost-canary-person"])
    card = ButtonCard(main_title=MainTitle(title="canary-title"), button_list=[Button(text="canary-text", key="k")])
    picture = File(b"\x89PNG\r\n\x1a\ncanary-file", "canary-file.png")
    with stack.database.writing() as connection:
        for message in (Text(content="canary-text 1"), Text(content="canary-text 2"), card, Image(file=picture)):
            enqueue(connection, ACCOUNT, message, people, accounts=stack.accounts)


def _ask_other_channels(stack: Stack) -> None:
    picture = File(b"\x89PNG\r\n\x1a\ncanary-file", "canary-file.png")
    chats, people = Chats("wrcanary-person", "wrghostcanary-person"), To(users=["canary-person", "ghost-canary-person"])
    customers = Customers({"canary-person": ["wmcanary-person", "ghostcanary-person"]})
    asked: list[tuple[str, Message, Recipients]] = [
        *((account, webhook.Text(content="canary-text"), chats) for account in ("push", "push", "push-tls")),
        ("push", webhook.Image(file=picture), chats),
        *(("sales", external.Campaign(text=f"canary-text {n}"), customers) for n in range(3)),
        ("sales", external.Campaign(attachments=[external.Image(file=picture)]), customers),
        *(("server", youdu.Text(content=f"canary-text {n}"), people) for n in range(3)),
        ("server", youdu.FileMessage(file=picture), people),
    ]
    with stack.database.writing() as connection:
        for account, message, to in asked:
            enqueue(connection, account, message, to, accounts=stack.accounts)


def _tls_account() -> str:
    return (
        'channel = "wecom_app"\ncorpid = "ww-canary-corp-2"\nagentid = 7\ncallback = true\n'
        'secret = { file = "FOLDER/secret" }\nbase_url = "https://127.0.0.1:PORT"\n'
    )


def _troubles() -> list[dict[str, Any]]:
    paths = (
        "/cgi-bin/message/send",
        "/cgi-bin/webhook/send",
        "/cgi-bin/externalcontact/add_msg_template",
        "/cgi/msg/send",
    )
    actions = (
        {"answer": {"errcode": 42001, "errmsg": "access_token"}},
        {"answer": {"errcode": 40058, "errmsg": "canary-text of canary-person"}},
        {"cut_response_after": 20},
    )
    return [
        {"match": {"path": path, "nth": nth}, "times": 1, "action": action}
        for path in paths
        for nth, action in enumerate(actions, 1)
    ]


def _tokens(vendor: Vendor) -> list[str]:
    names = ("access_token", "accessToken")
    return sorted({call["query"][name] for call in vendor.calls() for name in names if name in call["query"]})


def _credentials(vendor: Vendor) -> list[str]:
    """What was on the wire of a suite."""
    names = ("suite_ticket", "suite_access_token", "access_token", "permanent_code", "auth_code", "suite_secret")
    found = set()
    for call in vendor.calls():
        said = [call["query"], (call["answer"] or {}).get("body"), call["body"]]
        for one in said:
            tree = json.loads(one) if isinstance(one, str) and one.startswith("{") else one
            found |= {tree[name] for name in names if isinstance(tree, dict) and name in tree}
    assert len(found) > 5
    return sorted(found)


def _flower_of(stack: Stack) -> str:
    """Flower's address, where it can hear anything."""
    return "" if stack.broker == EMBEDDED else start_flower(stack)[1]


def _until_flower_heard(url: str, jobs: int) -> None:
    if url:
        until(lambda: len(answer_of(url, "/api/tasks") or {}) >= jobs, "Flower has heard")


def _listening(stack: Stack) -> AbstractContextManager[list[str]]:
    """All that goes through the broker."""
    return nullcontext([]) if stack.broker == EMBEDDED else listening(stack.broker, stack.prefix)


def _heard_broker(make: Make, own_rabbitmq: RabbitMQ) -> str:
    """A broker that tells everything it hears; the shared RabbitMQ would tell of everybody."""
    if make.name != RABBITMQ:
        return make.broker
    own_rabbitmq.trace()
    return own_rabbitmq.url


def _heard_doorbells(stack: Stack, heard: list[str]) -> bool:
    """Whether the listener could read what is inside a doorbell."""
    parts = {row[0] for row in stack.rows("select id from worker_parts")}
    return any(part in text for part in parts for text in heard)
