"""Presses: real encrypted callbacks, repeated as the vendor repeats them, each with a code good for one update."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from xml.etree.ElementTree import fromstring

import pytest

from tests.unit.simulator.conftest import Vendor
from worker.crypto.envelope import Envelope, ForeignReceiver, WrongSignature

TOKEN, KEY = "callback-token", "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
ENVELOPE = Envelope(TOKEN, KEY, "ww1")
CARD = {
    "card_type": "button_interaction",
    "main_title": {"title": "leave"},
    "task_id": "task-1",
    "button_list": [{"text": "yes", "key": "yes"}, {"text": "no", "key": "no"}],
    "button_selection": {"question_key": "days", "option_list": [{"id": "1", "text": "one"}]},
    "action_menu": {"desc": "more", "action_list": [{"text": "later", "key": "later"}]},
}


class Listener(ThreadingHTTPServer):
    """Says nothing of a client that did not wait for its answer."""

    def handle_error(self, *_: Any) -> None: ...


class Address:
    """A callback address that answers as it is told, and remembers what came."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses: list[int] = []
        self.answer: Callable[[dict[str, str]], bytes] = lambda query: b""
        address = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                query = {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                address.got.append((self.command, query, body))
                status = address.statuses.pop(0) if address.statuses else 200
                if not status:
                    return  # the connection is closed without an answer
                answer = address.answer(query)
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = _any

            def log_message(self, *_: Any) -> None: ...

        self.server = Listener(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/callback/hr?own=1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def events(self) -> list[Any]:
        """What the POSTs said."""
        return [fromstring(self.opened(query, body)) for method, query, body in self.got if method == "POST"]

    @staticmethod
    def opened(query: dict[str, str], body: bytes) -> bytes:
        """One request's message, if its signature holds."""
        encrypted = fromstring(body).findtext("Encrypt") or ""
        return ENVELOPE.open(query["msg_signature"], query["timestamp"], query["nonce"], encrypted)

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def address(vendor: Vendor) -> Iterator[Address]:
    made = Address()
    app = {"corpid": "ww1", "secret": "s1", "agentid": 1, "callback_url": made.url}
    vendor.settings(apps=[{**app, "callback_token": TOKEN, "callback_aes_key": KEY}], callbacks={"pause_s": 0.01})
    yield made
    made.close()


def card(vendor: Vendor, to: str = "lisi|wangwu", **fields: Any) -> dict[str, Any]:
    body = {"touser": to, "agentid": 1, "msgtype": "template_card", "template_card": {**CARD, **fields}}
    reply = vendor.send(body)
    assert reply["errcode"] == 0, reply
    return reply


def press(vendor: Vendor, person: str = "lisi", key: str = "yes", **more: Any) -> dict[str, Any]:
    found: dict[str, Any] = vendor.control("POST", "press", {"person": person, "key": key, **more})
    return found


def ended(vendor: Vendor, tries: int = 1) -> dict[str, Any]:
    """The last callback, once it has had so many tries and is decided."""
    deadline = time.monotonic() + 30
    while True:
        last: dict[str, Any] = vendor.control("GET", "callbacks")["callbacks"][-1]
        if last["state"] != "open" and len(last["tries"]) >= tries:
            return last
        assert time.monotonic() < deadline, last


def refusal(vendor: Vendor, body: dict[str, Any]) -> str:
    reply = vendor.session.post(f"{vendor.url}/_control/press", json=body, timeout=60)
    assert reply.status_code == 400
    return str(reply.json()["error"])


def test_a_press_is_an_encrypted_event(vendor: Vendor, address: Address) -> None:
    """Everything of page 90240, with a fresh code; the address's own query stays out of the signature."""
    card(vendor)

    code = press(vendor, "LiSi", selected={"days": ["1"]})["response_code"]

    assert ended(vendor)["state"] == "taken"
    [event] = address.events()
    said = {child.tag: child.text for child in event}
    assert ("ww1", "LiSi", "template_card_event", "yes", "task-1", "button_interaction", code, "1") == tuple(
        said[name]
        for name in ("ToUserName", "FromUserName", "Event", "EventKey", "TaskId", "CardType", "ResponseCode", "AgentID")
    )
    assert event.findtext("SelectedItems/SelectedItem/QuestionKey") == "days"
    assert event.findtext("SelectedItems/SelectedItem/OptionIds/OptionId") == "1"
    assert address.got[0][1]["own"] == "1"


def test_an_entry_of_the_menu_is_another_event(vendor: Vendor, address: Address) -> None:
    """Without a selection."""
    card(vendor)

    press(vendor, key="later", task_id="task-1")

    ended(vendor)
    [event] = address.events()
    assert event.findtext("Event") == "template_card_menu_event"
    assert event.find("SelectedItems") is None


def test_each_presss_code_is_good_for_one_update_of_what_that_person_sees(vendor: Vendor, address: Address) -> None:
    """60140 the second time; the others see the card as it was."""
    card(vendor)
    code = press(vendor)["response_code"]
    update = {"userids": ["lisi"], "response_code": code, "button": {"replace_name": "done"}}

    first, second = vendor.update(update), vendor.update(update)

    assert [first["errcode"], second["errcode"]] == [0, 60140]
    seen = [vendor.control("GET", "inbox", user=person)["messages"][0]["update"] for person in ("lisi", "wangwu")]
    assert seen == [{"replace_name": "done"}, None]
    assert "grey" in refusal(vendor, {"person": "lisi", "key": "yes"})


def test_a_code_ends_after_72_hours(vendor: Vendor, address: Address) -> None:
    """Like the send's own."""
    card(vendor)
    code = press(vendor)["response_code"]
    vendor.advance(259_201)
    update = {"userids": ["lisi"], "response_code": code, "button": {"replace_name": "done"}}

    reply = vendor.update(update, token=vendor.gettoken()["access_token"])

    assert reply["errcode"] == 60140


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"person": "nobody", "key": "yes"}, "sees no such card"),
        ({"person": "lisi", "key": "yes", "task_id": "other"}, "sees no such card"),
        ({"person": "lisi", "key": "maybe"}, "no key 'maybe'"),
        ({"person": "lisi", "key": "yes", "selected": {"weeks": ["1"]}}, "no question 'weeks'"),
        ({"person": "lisi", "key": "yes", "selected": {"days": ["9"]}}, "'days' has other options"),
        ({"person": "lisi", "key": "yes", "selected": {"days": ["1", "1"]}}, "'days' takes one option"),
        ({"person": "lisi", "key": "yes", "more": 1}, "more"),
    ],
)
def test_nobody_presses_what_is_not_there(vendor: Vendor, address: Address, body: dict[str, Any], why: str) -> None:
    """A 400 that says why; nothing is sent."""
    card(vendor)

    assert why in refusal(vendor, body)
    assert address.got == []


def test_a_vote_of_several_options_until_it_is_frozen(vendor: Vendor, address: Address) -> None:
    """Every option chosen is in the event; once an update froze the question, nobody chooses any more."""
    options = [{"id": one, "text": one, "is_checked": False} for one in "abc"]
    box = {"question_key": "lunch", "mode": 1, "option_list": options}
    submit = {"submit_button": {"text": "send", "key": "go"}}
    vote = {"card_type": "vote_interaction", "task_id": "v", "main_title": {"title": "t"}, **submit}
    vendor.send(
        {"touser": "lisi", "agentid": 1, "msgtype": "template_card", "template_card": {**vote, "checkbox": box}}
    )
    chosen = {"person": "lisi", "key": "go", "selected": {"lunch": ["a", "c"]}}

    code = vendor.control("POST", "press", chosen)["response_code"]
    ended(vendor)
    frozen = {**vote, "checkbox": {**box, "disable": True}}
    reply = vendor.update({"atall": 1, "response_code": code, "template_card": frozen})

    [event] = address.events()
    assert [one.text for one in event.iter("OptionId")] == ["a", "c"]
    assert reply["errcode"] == 0
    assert "'lunch' is frozen" in refusal(vendor, chosen)


def test_a_recalled_card_cannot_be_pressed(vendor: Vendor, address: Address) -> None:
    """It is gone from the screen."""
    vendor.recall(card(vendor)["msgid"])

    assert "recalled" in refusal(vendor, {"person": "lisi", "key": "yes"})


def test_without_an_address_nothing_can_be_pressed(vendor: Vendor) -> None:
    """The setting is named."""
    card(vendor)

    assert "callback_url" in refusal(vendor, {"person": "lisi", "key": "yes"})


def test_it_is_sent_again_until_it_is_taken_sealed_anew_each_time(vendor: Vendor, address: Address) -> None:
    """No answer, 500, 302, then 200: four tries, four nonces, one event."""
    card(vendor)
    address.statuses = [0, 500, 302, 200]

    press(vendor)

    last = ended(vendor, 4)
    assert last["state"] == "taken"
    assert [one["status"] for one in last["tries"]] == [None, 500, 302, 200]
    assert 4 == len({query["nonce"] for _, query, _ in address.got}) == len({body for _, _, body in address.got})
    assert len({address.opened(query, body) for _, query, body in address.got}) == 1


@pytest.mark.parametrize(
    ("retry_on", "statuses", "tries"),
    [("non_200", [500] * 9, 4), ("failure", [0, 0, 500], 3), ("failure", [0] * 9, 4), ("none", [0], 1)],
)
def test_what_is_repeated_is_a_setting_and_so_is_how_often(
    vendor: Vendor, address: Address, retry_on: str, statuses: list[int], tries: int
) -> None:
    """The vendor's pages contradict each other; then the event is dropped."""
    vendor.settings(callbacks={"retry_on": retry_on})
    card(vendor)
    address.statuses = [*statuses]

    press(vendor)

    last = ended(vendor, tries)
    assert last["state"] == "given up"
    assert len(last["tries"]) == tries


def test_an_answer_past_the_deadline_is_none(vendor: Vendor, address: Address) -> None:
    """The connection is dropped and the event sent again."""
    vendor.settings(callbacks={"deadline_s": 0.05, "tries": 1})
    card(vendor)
    go = threading.Event()

    def answer(query: dict[str, str]) -> bytes:
        go.wait(120)
        return b""

    address.answer = answer

    press(vendor)

    last = ended(vendor)
    go.set()
    assert (last["state"], last["tries"][0]["failure"]) == ("given up", "TimeoutError")


def test_taken_events_can_come_again(vendor: Vendor, address: Address) -> None:
    """Duplicates, sealed anew."""
    vendor.settings(callbacks={"copies": 4})
    card(vendor)

    press(vendor)

    assert len(ended(vendor, 4)["tries"]) == 4
    assert len(address.events()) == 4


@pytest.mark.parametrize(("fault", "error"), [("wrong_signature", WrongSignature), ("wrong_receiver", ForeignReceiver)])
def test_it_can_be_sealed_wrongly(vendor: Vendor, address: Address, fault: str, error: type[Exception]) -> None:
    """For a receiver that must refuse it."""
    vendor.settings(callbacks={fault: True})
    card(vendor)

    press(vendor)

    ended(vendor)
    with pytest.raises(error):
        address.events()


@pytest.mark.parametrize("right", [True, False])
def test_an_address_is_verified_with_a_number(vendor: Vendor, address: Address, right: bool) -> None:
    """The plain number back, and nothing around it."""

    def answer(query: dict[str, str]) -> bytes:
        number = ENVELOPE.open(query["msg_signature"], query["timestamp"], query["nonce"], query["echostr"])
        return number if right else b'"' + number + b'"'

    address.answer = answer

    vendor.control("POST", "verify", {"corpid": "ww1", "agentid": 1})

    assert ended(vendor)["kind"] == "verify"
    assert ended(vendor)["state"] == ("taken" if right else "given up")
