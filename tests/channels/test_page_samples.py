"""The samples of the pages that this project was made from, as they stand: each can be handed over.

`page_samples` has them to the letter; what a page writes in the place of a value (`$url`) is filled in here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wecom_app_samples
import wecom_external_samples
import wecom_webhook_samples
import youdu_samples

from worker import Everyone, external, message_from_json, recipients_from_json, webhook, youdu
from worker.channels.wecom_app.messages import CLASSES
from worker.domain.job import Draft
from worker.language import translate

FOLDER = Path(__file__).parent / "page_samples"
PNG = wecom_webhook_samples.PNG
FILLED = {
    '"DATA"': json.dumps(base64.b64encode(PNG).decode()),
    '"MD5"': json.dumps(hashlib.md5(PNG).hexdigest()),
    '"URL"': '"https://example.com/gift"',
    "PartyID1|PartyID2": "1|2",
    "TagID1 | TagID2": "1 | 2",
    "deptId1|deptId2|deptId3": "1|2|3",
    '"$url"': '"https://oa.example.test/1"',
    '"$url_1"': '"https://oa.example.test/1"',
    '"$link"': '"https://oa.example.test/mail"',
    "true/false": "true",
    "email1|email2|email3": "a@example.test|b@example.test",
}


def samples(name: str) -> list[str]:
    """The objects of one page in their order."""
    text = (FOLDER / name).read_text(encoding="utf-8")
    for place, value in FILLED.items():
        text = text.replace(place, value)
    return re.split(r"\n\n(?=\{)", text.strip())


def of_go(sample: str) -> dict[str, Any]:
    """What PowerWeChat's struct is in JSON: each field by its name in lower case, apart by underscores."""
    body: dict[str, Any] = {}
    inner = body
    for line in sample.splitlines()[1:-1]:
        name, _, value = line.strip().rstrip(",").partition(":")
        key = {"RequestMessageSend": ""}.get(name, re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())
        key = key.replace("to_", "to").replace("msg_type", "msgtype").replace("agent_id", "agentid")
        key = {"enable_idtrans": "enable_id_trans", "touser": "touser"}.get(key, key)
        if name == "}":
            inner = body
        elif value.strip().startswith("request."):
            inner = body.setdefault(key, {}) if key else body
        else:
            inner[key] = json.loads(value)
    return body


def problems(channel: Any, account: Any, message: Any, to: Any, document: Callable[[Any], dict[str, Any]]) -> list[str]:
    """The reasons of the door, in the order of the fields; and each warning has its Chinese."""
    content = document(message)
    draft = Draft(channel.kind_of(content, to), account, content, to)
    found = channel.check(draft)
    for warning in [] if found else channel.warnings(draft):
        assert warning != translate(warning, "zh")
    return [f"{problem.field}: {problem.text}" for problem in found]


@pytest.mark.parametrize("sample", samples("powerwechat.txt"))
def test_applications(sample: str) -> None:
    """The five types of PowerWeChat's page."""
    body = of_go(sample)
    account = wecom_app_samples.account({"agentid": 1})

    message, to = message_from_json(body), recipients_from_json(body)

    assert {name: len(ids) for name, ids in to.to_json().items()} == {"users": 3, "parties": 2, "tags": 2}
    assert problems(wecom_app_samples.CHANNEL, account, message, to, lambda made: made.document()) == []


def test_every_type_of_the_elixir_library_is_modelled() -> None:
    """Its page names types and has no bodies."""
    named = re.findall(r"• (\w+):", (FOLDER / "elixir_wechat.txt").read_text(encoding="utf-8"))

    assert len(named) == 11
    assert {*named} <= {*CLASSES, "template_card"}


@pytest.mark.parametrize("action", ["new", "unread"])
@pytest.mark.parametrize("sample", samples("youdu.txt"))
@pytest.mark.filterwarnings("ignore:toEmail. ignored beside toUser:UserWarning")
@pytest.mark.filterwarnings("ignore:toUser, toDept. left out beside toAll:UserWarning")
def test_youdu(sample: str, action: str) -> None:
    """The nine types, a mail with both senders among them."""
    body = json.loads(sample.replace("$action", action))
    account = youdu_samples.account_for(body["msgType"], allow_everyone=True)

    message, to = youdu.message_from_json(body), youdu.recipients_from_json(body)

    assert to
    assert problems(youdu_samples.CHANNEL, account, message, to, lambda made: made.document()) == []


BESIDE = "is ignored by the vendor unless exactly one chat is named"
"""有且只有chatid指定了一个群或一个小黑板的时候生效, which the page's own sample of a text does not keep."""


@pytest.mark.parametrize("sample", samples("wecom_webhook.txt"))
def test_message_push(sample: str) -> None:
    """The nine bodies; those without a chatid go to all groups, as the page says, when the caller says so, too."""
    body = json.loads(sample, strict=False)
    account = wecom_webhook_samples.account()

    message = webhook.message_from_json(body)
    to = webhook.recipients_from_json(body, without_chatid=Everyone("groups"))

    wanted = [f"post_id: {BESIDE}", f"visible_to_user: {BESIDE}"] if "|lisi" in sample else []
    assert wanted == problems(wecom_webhook_samples.CHANNEL, account, message, to, wecom_webhook_samples.document)


@pytest.mark.parametrize("sample", samples("wecom_external.txt"))
def test_group_sends(sample: str) -> None:
    """The body of the page, and the same in its call by curl."""
    body = json.loads(sample)

    message, to = external.message_from_json(body), external.recipients_from_json(body)

    assert to.count() == 2
    account = wecom_external_samples.account()
    assert problems(wecom_external_samples.CHANNEL, account, message, to, lambda made: made.document()) == []
