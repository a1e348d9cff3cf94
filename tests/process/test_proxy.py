"""A real proxy between worker and vendor that answers in the vendor's place, buffers, cuts, and dies."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import requests

from rig.servers import own_haproxy, own_server
from rig.stack import ACCOUNT, SECRET, SHORT, Stack, Vendor, until
from rig.stacks import EMBEDDED, Make, on_stacks
from worker import AppChat, Chats, Customers, Message, Recipients, Text, To, enqueue, external, webhook, youdu
from worker.domain.state import JobState
from worker_simulator.settings.youdu import key_of

EACH = 8
"""Messages of a kind."""
SEND, CHAT, POST = "/cgi-bin/message/send", "/cgi-bin/appchat/send", "/cgi-bin/webhook/send"
CREATE, DESK = "/cgi-bin/externalcontact/add_msg_template", "/cgi/msg/send"
CUT: Mapping[str, Any] = {"cut_response_after": 120}
"""In the middle of the answer's head or body."""
NAMES = ("checked", "plain", "room", "robot", "sales", "desk")
TEXT = re.compile(rf"({'|'.join(NAMES)}) \d+\.")
VENDOR = {
    "latency_s": 0.1,
    "duplicate": {"refused_counts": True, "unflagged_counts": True},
    "external": {"dispatch_s": 0},
}
_ENDS = "select id, state from worker_jobs"
_UNSETTLED = (
    "select count(*) from worker_parts p join worker_jobs j on j.id = p.job_id where j.account <> 'sales'"
    " and (p.state in (0, 1) or (p.state = 6 and p.not_before is not null))"
)
"""Without group sends: one that was lost on its way is looked for during two and a half minutes."""
_SENDING = "select count(*) from worker_parts where state = 1"
_REPEAT_NOW = "update worker_parts set not_before = 1 where state = 6 and not_before is not null"
"""After three calls in a row without an answer of the vendor a repeat waits half a minute and more."""
_NOT_TRIED = "select count(*) from worker_parts where claim = 0"
_DOUBTS = (
    "select distinct j.account, j.kind from worker_attempts a join worker_parts p on p.id = a.part_id"
    " join worker_jobs j on j.id = p.job_id where a.outcome = 'unknown'"
)
ACCOUNTS = """
[accounts.robot]
channel = "wecom_webhook"
edition = "push"
secret = { file = "FOLDER/secret" }
base_url = "PROXY"
deadline_s = 2

[accounts.sales]
channel = "wecom_external"
corpid = "ww-canary-corp"
secret = { file = "FOLDER/secret" }
base_url = "PROXY"
deadline_s = 2

[accounts.desk]
channel = "youdu"
buin = 12345678
appid = "yd00112233445566778899AABBCCDDEEFF"
secret = { env = "DESK_KEY" }
base_url = "PROXY"
deadline_s = 2
"""


@on_stacks(EMBEDDED, why="what stands between a worker and its vendor is no matter of database or broker")
def test_a_proxy_that_answers_itself_doubles_nothing(make: Make) -> None:
    """It answers half of all messages itself: 502, 503 and 429 with Retry-After and without, a page, a redirect, half a
    body. It dies twice with calls in flight. Nobody sees a message twice, and what counts as sent was seen.
    """
    own_server.need(own_haproxy.PROGRAMS, found=own_haproxy.found())
    paths = (SEND, CHAT, POST, CREATE, DESK)
    with (
        closing(Vendor(make.folder, VENDOR)) as vendor,
        own_haproxy.running(int(vendor.url.rpartition(":")[2]), paths) as proxy,
        closing(_stack(make, vendor, proxy.url)) as stack,
    ):
        vendor.faults(*({"match": {"path": path, "every": 6}, "action": CUT} for path in paths))
        jobs = _enqueue_all(stack, _make_chat(vendor))
        stack.worker()
        until(lambda: vendor.sends() > EACH // 4, "calls are in flight")
        proxy.die()
        until(lambda: vendor.sends() > EACH // 2, "calls are in flight again")
        proxy.die()
        until(lambda: not stack.number(_NOT_TRIED), "each was called once", told=stack.told)
        vendor.heal()
        proxy.heal()
        until(lambda: not stack.number(_SENDING), "each call has ended", told=stack.told)
        with stack.database.writing() as connection:
            connection.exec_driver_sql(_REPEAT_NOW)
        until(lambda: not stack.number(_UNSETTLED), "everything is settled", told=stack.told)

        seen, ends = _seen(vendor), {job: JobState(state) for job, state in stack.rows(_ENDS)}
        doubts = set(map(tuple, stack.rows(_DOUBTS)))

    ended = {name: (seen[name], ends[job]) for name, job in jobs.items()}
    assert {name: end for name, end in ended.items() if end[0] > 1} == {}
    assert {name: end for name, end in ended.items() if end == (0, JobState.ACCEPTED)} == {}
    assert {JobState.ACCEPTED, JobState.UNKNOWN} >= {end[1] for name, end in ended.items() if "sales" not in name}
    assert {ends[job] for name, job in jobs.items() if "checked" in name} == {JobState.ACCEPTED}
    assert doubts == {(ACCOUNT, "send"), (ACCOUNT, "send_chat"), ("robot", "send"), ("sales", "send"), ("desk", "send")}


def _stack(make: Make, vendor: Vendor, url: str) -> Stack:
    return Stack(
        make.folder / "stack",
        make.database_url,
        make.broker,
        vendor,
        delivery={**SHORT, "call_deadline_s": 2},
        account=ACCOUNTS.replace("PROXY", url),
        base_url=url,
        env={"DESK_KEY": key_of(0)},
        fresh=False,
        constants={"worker.config.settings.DeliverySettings.breaker_failures": 10_000},
    )


def _make_chat(vendor: Vendor) -> str:
    """Makes the group chat of the app, by a way of its own to the vendor."""
    login = {"corpid": "ww-canary-corp", "corpsecret": SECRET}
    with requests.Session() as session:
        session.trust_env = False
        token = session.get(f"{vendor.url}/cgi-bin/gettoken", params=login, timeout=30).json()["access_token"]
        chat = {"chatid": "room", "name": "room", "owner": "u1", "userlist": ["u1", "u2"]}
        url = f"{vendor.url}/cgi-bin/appchat/create"
        made = session.post(url, params={"access_token": token}, json=chat, timeout=30).json()
    assert made["errcode"] == 0, made
    return str(made["chatid"])


def _enqueue_all(stack: Stack, chat: str) -> dict[str, str]:
    """What a message says -> its job."""
    jobs: dict[str, str] = {}
    with stack.database.writing() as connection:
        for account, text, message, to in _messages(chat):
            jobs[text] = enqueue(connection, account, message, to, accounts=stack.accounts).id
    return jobs


def _messages(chat: str) -> Iterator[tuple[str, str, Message, Recipients]]:
    for n in range(EACH):
        text, plain, room, robot, sales, desk = (f"{name} {n}." for name in NAMES)
        yield ACCOUNT, text, Text(content=text), To(f"u{n}")
        yield ACCOUNT, plain, Text(content=plain, duplicate_check=False), To(f"u{n}")
        yield ACCOUNT, room, Text(content=room), AppChat(chat)
        yield "robot", robot, webhook.Text(content=robot), Chats("wrroom")
        yield "sales", sales, external.Campaign(text=sales), Customers({f"m{n}": [f"wm{n}"]})
        yield "desk", desk, youdu.Text(content=desk), To(f"u{n}")


def _seen(vendor: Vendor) -> Counter[str]:
    """How often each text was shown to its person, its chat or its customer."""
    places: list[list[Any]] = [*vendor.inbox().values(), *vendor.get("webhook")["chats"].values()]
    places += [vendor.get("youdu")["delivered"], vendor.get("groupmsg_tasks")["tasks"]]
    seen = Counter[str]()
    for place in places:
        texts = (TEXT.search(json.dumps(message)) for message in place)
        seen |= Counter(found[0] for found in texts if found)
    return seen
