"""Faults: which calls are broken, at which byte, and whether they take effect."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests

SEND = "/cgi-bin/message/send"


@pytest.fixture(autouse=True)
def _logged_in(vendor: Any) -> None:
    """The token was fetched before any rule."""
    vendor.token()


def raw_send(vendor: Any, body: dict[str, Any]) -> bytes:
    """A send as bytes that close the connection after the answer."""
    content = json.dumps(body).encode()
    head = f"POST {SEND}?access_token={vendor.token()} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def last(vendor: Any) -> dict[str, Any]:
    """The last call as the log has it."""
    return vendor.calls()[-1]


def test_an_answer_in_place_of_the_vendors(vendor: Any, text: Any) -> None:
    """The first two sends answer busy without effect, in the vendor's shape; the rule then is used up."""
    vendor.faults({"match": {"path": SEND}, "times": 2, "action": {"answer": {"errcode": -1}}})

    replies = [vendor.send(text()) for _ in range(3)]

    assert [reply["errcode"] for reply in replies] == [-1, -1, 0]
    assert replies[0]["errmsg"].startswith("system busy, hint: [")
    assert len(vendor.inbox("chenmo")) == 1
    (rule,) = vendor.control("GET", "faults")["rules"]
    assert (rule["matched"], rule["hits"]) == (3, 2)


def test_an_answer_with_fields_and_effect(vendor: Any, text: Any) -> None:
    """A faked answer may carry a text and fields of its own, and the call may take effect all the same."""
    answer = {"errcode": 0, "errmsg": "odd", "extra": {"a": 1}, "b": None}
    vendor.faults({"action": {"answer": answer, "apply": True}})

    assert vendor.send(text()) == {"errcode": 0, "errmsg": "odd", "a": 1, "b": None}
    assert len(vendor.inbox("chenmo")) == 1


@pytest.mark.parametrize("apply", [False, True])
def test_an_odd_http_status(vendor: Any, text: Any, apply: bool) -> None:
    """A gateway's answer says nothing about whether the call took effect."""
    action = {"status": 502, "body": "<html>", "headers": {"Retry-After": "3"}, "apply": apply}
    vendor.faults({"action": action})

    reply = vendor.post("message/send", text())

    assert (reply.status_code, reply.text, reply.headers["Retry-After"]) == (502, "<html>", "3")
    assert len(vendor.inbox("chenmo")) == int(apply)


@pytest.mark.parametrize("apply", [False, True])
def test_hang_for_ever(vendor: Any, text: Any, apply: bool) -> None:
    """A hanging call is never answered; the log shows what the vendor had decided."""
    vendor.faults({"action": {"hang": None, "apply": apply}})

    with pytest.raises(requests.ReadTimeout):
        vendor.post("message/send", text(), timeout=0.05)

    assert len(vendor.inbox("chenmo")) == int(apply)
    call = last(vendor)
    assert (call["received"], call["answered"], call["fault"]) == ("whole", "none", "hang")
    assert apply is (call["answer"] is not None)


def test_hang_then_close(vendor: Any, text: Any) -> None:
    """A hang may end with a closed connection."""
    vendor.faults({"action": {"hang": 0.01}})

    with pytest.raises(requests.ConnectionError):
        vendor.send(text())


@pytest.mark.parametrize(("count", "received"), [(0, "none"), (40, "none"), (-2, "partial")])
def test_cut_a_request(vendor: Any, text: Any, count: int, received: str) -> None:
    """The connection ends with a FIN once so many bytes of the request came; nothing takes effect."""
    data = raw_send(vendor, text())
    vendor.faults({"match": {"path": SEND}, "action": {"cut_request_after": count % len(data)}})

    assert vendor.raw(data) == b""
    assert vendor.inbox("chenmo") == []
    assert last(vendor)["received"] == received
    assert last(vendor)["answered"] == "none"


def test_cut_between_head_and_body(vendor: Any, text: Any) -> None:
    """A request may be cut exactly after its head."""
    data = raw_send(vendor, text())
    vendor.faults({"action": {"cut_request_after": data.index(b"\r\n\r\n") + 4}})

    assert vendor.raw(data) == b""
    assert last(vendor)["received"] == "head"


def test_cut_counts_bytes_over_packets(vendor: Any, text: Any) -> None:
    """Bytes are counted over packets, and what comes later is swallowed."""
    data = raw_send(vendor, text())
    vendor.faults({"action": {"cut_request_after": len(data) - 1}})

    with vendor.connect() as connection:
        connection.sendall(data[: len(data) - 3])
        vendor.until(lambda: vendor.calls(path=SEND) != [])
        connection.sendall(data[-3:])
        assert connection.recv(100) == b""
        with contextlib.suppress(OSError):
            connection.sendall(b"more")


def test_reset_a_request(vendor: Any, text: Any) -> None:
    """The same with a RST."""
    vendor.faults({"action": {"reset_request_after": 60}})

    with pytest.raises(ConnectionResetError):
        vendor.raw(raw_send(vendor, text()))
    assert vendor.inbox("chenmo") == []


@pytest.mark.parametrize(("count", "answered"), [(0, "none"), (30, "partial"), (100_000, "whole")])
def test_cut_a_response(vendor: Any, text: Any, count: int, answered: str) -> None:
    """The call takes effect, so many bytes of the answer leave, then the connection ends."""
    vendor.faults({"action": {"cut_response_after": count}})

    reply = vendor.raw(raw_send(vendor, text()))

    assert count == len(reply) or answered == "whole"
    assert len(vendor.inbox("chenmo")) == 1
    assert answered == last(vendor)["answered"]


def test_reset_a_response(vendor: Any, text: Any) -> None:
    """The same with a RST: the bytes before it can be read."""
    vendor.faults({"action": {"reset_response_after": 10}})

    with vendor.connect() as connection:
        connection.sendall(raw_send(vendor, text()))
        with pytest.raises(ConnectionResetError):
            list(iter(lambda: connection.recv(100), b""))
    assert len(vendor.inbox("chenmo")) == 1
    assert last(vendor)["answered"] == "partial"


def test_drip_an_answer(vendor: Any, text: Any) -> None:
    """An answer may leave drop by drop; the connection can be used on."""
    vendor.faults({"times": 1, "action": {"drip": {"bytes": 50, "every_s": 0.001}}})

    assert [vendor.send(text(f"{number}"))["errcode"] for number in range(2)] == [0, 0]
    assert vendor.calls()[1]["answered"] == "whole"


def test_a_client_that_leaves_in_a_drip(vendor: Any, text: Any) -> None:
    """When the client leaves, the log says how much it was given."""
    vendor.faults({"action": {"drip": {"bytes": 1, "every_s": 60}}})

    with vendor.connect() as connection:
        connection.sendall(raw_send(vendor, text()))
        assert connection.recv(1) == b"H"
    assert last(vendor)["answered"] == "partial"


def test_delay(vendor: Any, text: Any) -> None:
    """A delayed call has taken effect before its answer comes."""
    vendor.faults({"action": {"delay": 60}})

    with pytest.raises(requests.ReadTimeout):
        vendor.post("message/send", text(), timeout=0.05)
    assert len(vendor.inbox("chenmo")) == 1


def test_short_delay_and_latency(vendor: Any, text: Any) -> None:
    """Latency is a setting, by path if wished; a delay comes on top."""
    vendor.settings(latency_s=60, latency_by_path={SEND: 0.01})
    vendor.faults({"action": {"delay": 0.01}})

    started = time.monotonic()

    assert vendor.send(text())["errcode"] == 0
    assert time.monotonic() - started >= 0.02


def test_matching(vendor: Any, text: Any) -> None:
    """Rules match by body, method, number and every so many; the first that strikes wins."""
    vendor.faults(
        {"match": {"body_contains": "第二"}, "action": {"answer": {"errcode": 2}}},
        {"match": {"path": SEND, "every": 2}, "action": {"answer": {"errcode": 3}}},
        {"match": {"method": "GET"}, "action": {"answer": {"errcode": 4}}},
        {"match": {"path": SEND, "nth": 5}, "action": {"answer": {"errcode": 5}}},
    )

    codes = [vendor.send(text(content))["errcode"] for content in ("1", "2", "3", "第二", "5")]

    assert codes == [0, 3, 0, 2, 5]
    assert vendor.gettoken()["errcode"] == 4
    assert vendor.control("DELETE", "faults") == {"rules": []}
    assert vendor.send(text("6"))["errcode"] == 0


@pytest.mark.parametrize(
    "rule",
    [
        {"match": {"body_contains": "x"}, "action": {"cut_request_after": 1}},
        {"match": {"body_contains": "x"}, "action": {"kill": 1, "at": {"request_bytes": 1}}},
        {"action": {"delay": 1, "hang": 2}},
        {"action": {}},
        {"action": {"kill": 1, "signal": "NONSENSE"}},
        {"action": {"delay": 1}, "typo": 1},
        {"match": {"nth": 0}, "action": {"delay": 1}},
    ],
)
def test_impossible_rules_are_refused(vendor: Any, rule: dict[str, Any]) -> None:
    """A rule that cannot be carried out is answered 400 and not added."""
    reply = vendor.session.post(f"{vendor.url}/_control/faults", json=[rule], timeout=60)

    assert reply.status_code == 400
    assert vendor.control("GET", "faults")["rules"] == []


@pytest.fixture
def victim() -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for its end."""
    with subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("at", "apply"),
    [
        ({"request_bytes": 10}, True),
        ({"request_bytes": 10}, False),
        ({"request": "whole"}, True),
        ({"request": "whole"}, False),
        ({"response_bytes": 0}, True),
        ({"response_bytes": 20}, True),
        ({"response": "whole"}, True),
    ],
)
def test_kill_a_process(vendor: Any, text: Any, victim: Any, at: dict[str, Any], apply: bool) -> None:
    """A process is signalled at that byte; the call then goes on, or is cut without effect."""
    vendor.faults({"action": {"kill": victim.pid, "signal": "TERM", "at": at, "apply": apply}})

    reply = vendor.raw(raw_send(vendor, text()))

    assert victim.wait(120) == -15
    assert apply is reply.startswith(b"HTTP/1.1 200")
    assert int(apply) == len(vendor.inbox("chenmo"))
    assert last(vendor)["fault"] == f"kill TERM {victim.pid}"


def test_kill_the_peer(vendor: Any, text: Any) -> None:
    """The process at the other end is found by its socket and killed before an answer leaves."""
    vendor.faults({"match": {"path": SEND}, "action": {"kill": "peer", "at": {"request": "whole"}}})
    script = (
        "import socket,sys;c=socket.create_connection((sys.argv[1],int(sys.argv[2])));"
        "c.sendall(bytes.fromhex(sys.argv[3]));c.recv(1);input()"
    )
    host, _, port = vendor.url.rpartition("/")[2].partition(":")
    arguments = [sys.executable, "-S", "-c", script, host, port, raw_send(vendor, text()).hex()]

    with subprocess.Popen(arguments, stdin=subprocess.PIPE) as client:
        assert client.wait(120) == -9
    assert last(vendor)["fault"] == f"kill KILL {client.pid}"
    assert len(vendor.inbox("chenmo")) == 1


def test_nobody_to_kill(vendor: Any, text: Any, victim: Any) -> None:
    """A process that is gone changes nothing but the log."""
    victim.kill()
    victim.wait(120)
    vendor.faults({"action": {"kill": victim.pid}})

    assert vendor.send(text())["errcode"] == 0
    assert last(vendor)["fault"] == "kill KILL nobody"


def test_control_is_never_broken(vendor: Any) -> None:
    """Rules and latency do not touch control."""
    vendor.settings(latency_s=60)
    vendor.faults({"action": {"hang": None}}, {"action": {"cut_request_after": 1}})

    assert vendor.control("GET", "counts") == {"counts": {"/cgi-bin/gettoken": 1}}
