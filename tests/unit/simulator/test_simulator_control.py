"""The control API and HTTP itself."""

import json
from typing import Any

import pytest

from worker_simulator.settings import SimulatorSettings


def post(vendor: Any, name: str, body: Any) -> Any:
    """A control call that may fail."""
    return vendor.session.post(f"{vendor.url}/_control/{name}", json=body, timeout=60)


def test_clock(vendor: Any) -> None:
    """The clock runs, jumps, freezes and runs again."""
    assert vendor.control("POST", "clock", {"set": 1000, "frozen": True}) == {"now": 1000, "frozen": True}
    assert vendor.control("POST", "clock", {"advance_s": 5})["now"] == 1005
    running = vendor.control("POST", "clock", {"frozen": False})
    assert running["frozen"] is False
    assert 1005 <= running["now"] < 1100
    assert vendor.control("POST", "clock", {"frozen": True})["now"] >= 1005


def test_settings_merge(vendor: Any) -> None:
    """Settings are merged deeply; a wrong one is refused whole."""
    vendor.settings(duplicate={"compare": "flagless"}, latency_s=0.0)
    vendor.settings(duplicate={"refused_counts": True})

    settings = vendor.control("GET", "settings")
    refused = [post(vendor, "settings", {"open": False, "typo": 1}), post(vendor, "settings", [1])]

    assert (settings["duplicate"]["compare"], settings["duplicate"]["refused_counts"]) == ("flagless", True)
    assert [reply.status_code for reply in refused] == [400, 400]
    assert vendor.control("GET", "settings")["open"] is True


def test_reset_forgets_everything_but_settings(vendor: Any, text: Any) -> None:
    """Reset makes a new state; settings stay unless new ones are given."""
    vendor.settings(open=False, apps=[{"corpid": "ww1", "secret": "s1"}])
    vendor.send(text())

    kept = vendor.control("POST", "reset")

    assert kept["open"] is False
    assert vendor.calls() == []
    assert vendor.send(text())["errcode"] == 40014
    assert vendor.control("POST", "reset", {"settings": {}}) == SimulatorSettings().model_dump()


def test_calls(vendor: Any, text: Any) -> None:
    """The log has every vendor call in order, unredacted, and can be filtered."""
    vendor.control("POST", "clock", {"set": 5000, "frozen": True})
    vendor.send(text("磁盘"))
    vendor.post("nonsense", {})

    token, send, other = vendor.calls()

    assert [token["seq"], send["seq"], other["seq"]] == [1, 2, 3]
    assert send["query"] == {"access_token": vendor.token()}
    assert json.loads(send["body"]) == text("磁盘")
    assert (send["time"], send["method"], send["received"], send["answered"]) == (5000, "POST", "whole", "whole")
    assert (send["answer"]["status"], send["answer"]["errcode"]) == (200, 0)
    assert other["answer"]["status"] == 404
    assert [send] == vendor.calls(path="/cgi-bin/message/send", since=1)
    assert vendor.calls(since=3) == []
    assert vendor.control("GET", "counts")["counts"]["/cgi-bin/message/send"] == 1


def test_inbox(vendor: Any, text: Any) -> None:
    """The inbox shows a message as one person sees it, and can be cleared."""
    reply = vendor.send(text(to="ChenMo"))

    (entry,) = vendor.inbox("CHENMO")
    assert {
        "msgid": reply["msgid"],
        "chatid": None,
        "corpid": "ww1",
        "agentid": 1,
        "msgtype": "text",
        "content": {"content": "hi"},
        "altered": [],
        "safe": 0,
        "mentioned": False,
        "task_id": None,
        "state": "shown",
        "update": None,
        "in_wechat": {"shows": "same"},
        "time": pytest.approx(vendor.control("GET", "clock")["now"], abs=5),
        "seq": 2,
    } == entry
    assert vendor.control("DELETE", "inbox") == {}
    assert vendor.control("GET", "inbox") == {"people": {}}


def test_unknown_control(vendor: Any) -> None:
    """An unknown control call is 404 and names those there are; a wrong body is 400."""
    reply = vendor.session.get(f"{vendor.url}/_control/nonsense", timeout=60)

    assert reply.status_code == 404
    assert "POST /_control/faults" in reply.json()["error"]
    assert post(vendor, "clock", {"typo": 1}).status_code == 400
    assert vendor.session.get(f"{vendor.url}/_control/calls?since=x", timeout=60).status_code == 400


@pytest.mark.parametrize(
    ("method", "call", "body"),
    [
        ("GET", "violations?marker=(", None),
        ("POST", "suite", {"act": "again", "suite_id": "suite1"}),
        ("POST", "reset", ["settings"]),
    ],
)
def test_what_a_control_call_cannot_do_is_answered(vendor: Any, method: str, call: str, body: Any) -> None:
    """No expression, an event of a suite that had none, a list in place of an object: 400 that says what is wrong."""
    vendor.settings(suite={"known": [{"suite_id": "suite1", "secret": "s"}]})

    reply = vendor.session.request(method, f"{vendor.url}/_control/{call}", json=body, timeout=60)

    assert reply.status_code == 400
    assert reply.json()["error"]


def test_chunked_bodies_and_slow_heads(vendor: Any, text: Any) -> None:
    """A chunked request that arrives in small pieces is read."""
    body = json.dumps(text()).encode()
    data = f"POST /cgi-bin/message/send?access_token={vendor.token()} HTTP/1.1\r\nHost: x\r\n".encode()
    data += b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)

    with vendor.connect() as connection:
        for start in range(0, len(data), 40):
            connection.sendall(data[start : start + 40])
        reply = b"".join(iter(lambda: connection.recv(65536), b""))

    assert b'"errcode": 0' in reply
    assert json.loads(vendor.calls()[-1]["body"]) == text()


def test_expect_continue(vendor: Any) -> None:
    """A client that waits for 100 Continue gets it."""
    head = f"POST /cgi-bin/message/recall?access_token={vendor.token()} HTTP/1.1\r\nHost: x\r\n"

    with vendor.connect() as connection:
        connection.sendall(f"{head}Content-Length: 2\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n".encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 100")
        connection.sendall(b"{}")
        assert b"40058" in connection.recv(1000)


def test_next_request_waits_for_the_answer(vendor: Any) -> None:
    """A request that comes while the last one is still being answered is answered after it."""
    vendor.settings(latency_s=0.02)
    lines = [f"GET /cgi-bin/gettoken?corpid=w{n}&corpsecret=s HTTP/1.1\r\nHost: x\r\n\r\n" for n in range(2)]

    with vendor.connect() as connection:
        connection.sendall(lines[0].encode())
        vendor.until(lambda: vendor.calls() != [])
        connection.sendall(lines[1].encode())
        received = b""
        while received.count(b"access_token") < 2:
            received += connection.recv(65536)

    assert [call["query"]["corpid"] for call in vendor.calls()] == ["w0", "w1"]


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET //[x HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
    ids=["line", "target", "header", "pipelined"],
)
def test_what_is_no_request(vendor: Any, data: bytes) -> None:
    """Broken and pipelined requests are answered 400 and the connection ends."""
    assert vendor.raw(data).startswith(b"HTTP/1.1 400")


def test_a_client_that_leaves_in_its_request(vendor: Any) -> None:
    """A request that never becomes whole is in the log with what came of it."""
    with vendor.connect() as connection:
        connection.sendall(b"POST /cgi-bin/x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc")
    vendor.until(lambda: any(call["received"] == "partial" for call in vendor.calls()))

    assert vendor.calls()[-1]["body"] == "abc"
