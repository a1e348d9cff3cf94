"""The vendor's samples, kept as files, against the simulator: what they show is taken or refused as they say.

The files are those the channel is held to as well; the simulator shares nothing else with it.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest

GOLDEN = Path(__file__).parents[2] / "channels" / "golden"
APPS = [
    {"corpid": "ww1", "secret": "hr", "agentid": 1000007},
    {"corpid": "ww1", "secret": "shop", "agentid": 1000021},
    {"corpid": "ww1", "secret": "other", "agentid": 1000008},
]
KNOWN = {"image": ["3aImg.*"], "voice": ["3aAmr.*"], "video": ["3aMp4.*"], "file": ["3aPdf.*", "3aTxt.*"]}


def golden(name: str) -> Any:
    """A golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def names(folder: str) -> list[str]:
    """Every golden file of a folder."""
    found = sorted(path.stem for path in (GOLDEN / folder).glob("*.json"))
    assert found
    return found


@pytest.fixture
def corp(vendor: Any) -> Any:
    """A corp with the samples' apps and files, in which everybody but the ghosts and temps exists."""
    vendor.settings(apps=APPS, media={"known": KNOWN}, directory={"unlicensed_users": ["temp.*"]})
    return vendor


def send(corp: Any, body: dict[str, Any]) -> dict[str, Any]:
    """A body sent by the app it names, or by hr's when it is about another's."""
    secret = "shop" if body["agentid"] == 1000021 else "hr"
    reply: dict[str, Any] = corp.send(body, token=corp.token("ww1", secret))
    return reply


def seen(corp: Any) -> dict[str, Any]:
    """What the first of those who see anything sees."""
    message: dict[str, Any] = next(iter(corp.control("GET", "inbox")["people"].values()))[0]
    return message


@pytest.mark.parametrize("name", names("requests"))
def test_requests(corp: Any, name: str) -> None:
    """Every sample of message/send is taken, and people see what it says."""
    body = golden(f"requests/{name}")

    reply = send(corp, body)

    assert (reply["errcode"], reply["errmsg"]) == (0, "ok")
    assert seen(corp)["content"] == body[body["msgtype"]]
    assert seen(corp)["altered"] == []
    assert body.get("safe", 0) == seen(corp)["safe"]
    card = body.get("template_card", {})
    clickable = card.get("card_type", "").endswith("interaction") or "action_menu" in card
    assert clickable == ("response_code" in reply)


@pytest.mark.parametrize("name", names("updates"))
def test_updates(corp: Any, name: str) -> None:
    """Every sample of a card update is taken, once it holds the code of a card."""
    body = golden(f"updates/{name}")
    original = {**golden("requests/button_interaction"), "touser": "chenmo|lihua", "toparty": "12", "totag": "4"}
    code = send(corp, original)["response_code"]

    reply = corp.update({**body, "response_code": code}, token=corp.token("ww1", "hr"))

    assert reply == {"errcode": 0, "errmsg": "ok", "invaliduser": []}
    shown = body.get("button") or {"template_card": body["template_card"]}
    assert shown == corp.inbox((body.get("userids") or ["chenmo"])[0])[0]["update"]


REFUSALS = golden("refusals")


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal["row"])
def test_invalid_bodies(corp: Any, refusal: dict[str, Any]) -> None:
    """Each row of the table draws its code; the one that is taken is cut, and the inbox says so."""
    if "settings" in refusal:
        corp.settings(apps=[{**APPS[0], **refusal["settings"]}])

    reply = send(corp, refusal["body"])

    assert refusal["code"] == reply["errcode"]
    if refusal["code"]:
        assert corp.control("GET", "inbox")["people"] == {}
    else:
        size = len(refusal["body"]["text"]["content"].encode())
        cut = {"field": "text.content", "why": "cut", "limit": 2048, "unit": "bytes", "size": size}
        assert [cut] == seen(corp)["altered"]
        assert 2048 >= len(seen(corp)["content"]["content"].encode())


def test_the_second_code_of_a_row(corp: Any) -> None:
    """Too many tags are another code than too many parties, and a used task_id the same as none."""
    (row,) = [refusal for refusal in REFUSALS if "also" in refusal]
    card = golden("requests/button_interaction")

    assert row["also"] == send(corp, {**row["body"], "toparty": ""})["errcode"]
    assert [send(corp, card)["errcode"] for _ in range(2)] == [0, 42014]


def alike(reply: dict[str, Any]) -> dict[str, Any]:
    """A reply without what is new in every one."""
    text = re.sub(r"hint: \[\d{25}\], from ip: [\d.]+", "hint, ip", reply["errmsg"])
    return {**reply, "errmsg": text, **{name: "..." for name in ("msgid", "response_code") if name in reply}}


def replied(corp: Any, name: str) -> dict[str, Any]:
    """The simulator's reply in the situation that a sample shows."""
    text, card = golden("requests/text"), golden("requests/button_interaction")
    match name:
        case "success":
            return send(corp, text)
        case "partial_card":
            corp.settings(directory={"empty_lists": "empty", "first_missing_party": 900})
            return send(corp, {**card, "touser": "chenmo|Ghost01|ghost02|temp07", "toparty": "999"})
        case "all_invalid":
            return send(corp, {**text, "touser": "Ghost01", "toparty": ""})
        case "token_expired":
            token = corp.token("ww1", "hr")
            corp.control("POST", "tokens", {"expire": "all"})
            return dict(corp.send(text, token=token))
        case "frequency":
            corp.settings(limits={"account_cap": 1})
            people = "|".join(f"u{n}" for n in range(201))
            return send(corp, {**text, "touser": people})
        case "task_id_exists":
            send(corp, card)
            return send(corp, card)
        case "code_spent":
            code = send(corp, card)["response_code"]
            body = {"atall": 1, "agentid": 1000007, "response_code": code, "button": {"replace_name": "x"}}
            return [corp.update(body, token=corp.token("ww1", "hr")) for _ in range(2)][1]
    raise AssertionError(f"no such sample: {name}")


@pytest.mark.parametrize("name", names("replies"))
def test_replies(corp: Any, name: str) -> None:
    """In the situation of each sample of an answer the simulator says the same, but for ids, hint and caller."""
    sample = golden(f"replies/{name}")

    reply = replied(corp, name)

    assert alike(sample) == alike(reply)


def test_chats(corp: Any) -> None:
    """The sample of a chat is made, and its message is seen by its members."""
    token = corp.token("ww1", "hr")
    made = corp.post("appchat/create", golden("chats/create"), token=token).json()
    sent = corp.post("appchat/send", golden("chats/send"), token=token).json()

    assert made == {"errcode": 0, "errmsg": "ok", "chatid": "duty2026"}
    assert sent == {"errcode": 0, "errmsg": "ok"}
    for user in golden("chats/create")["userlist"]:
        (message,) = corp.inbox(user)
        assert ("duty2026", golden("chats/send")["text"]) == (message["chatid"], message["content"])
        assert (message["msgid"], message["mentioned"], message["altered"]) == (None, True, [])


def test_an_upload_on_the_wire(corp: Any) -> None:
    """The sample's bytes are a file of twelve bytes with a Chinese name."""
    head, _, body = (GOLDEN / "upload.http").read_text(encoding="utf-8").partition("\n\n")
    content = body.replace("<12 bytes>", "x" * 12).replace("\n", "\r\n").encode()
    line, content_type = head.replace("tok_7f2c1d90a4", corp.token("ww1", "hr")).splitlines()
    length = f"Content-Length: {len(content)}\r\nConnection: close"

    answer = corp.raw(f"{line}\r\n{content_type}\r\n{length}\r\n\r\n".encode() + content)

    reply = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (reply["errcode"], reply["type"]) == (0, "file")
    (call,) = corp.calls(path="/cgi-bin/media/upload")
    assert (call["body"]["filename"], call["body"]["size"]) == ("七月报表.pdf", 12)
