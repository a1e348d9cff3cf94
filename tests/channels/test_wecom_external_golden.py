"""The vendor's samples, kept as files: what goes out is theirs, what comes in is understood.

`golden/external/` restates the samples of pages 92135 and 93338 with values of our own; only tests read it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from wecom_external_samples import CHANNEL, NOW, account, draft, outcome, part, sent, task

from worker.channels.wecom_external import Campaign, message_from_json, message_to_json, recipients_from_json
from worker.channels.wecom_external.messages import Raw
from worker.domain.errors import CheckFailed
from worker.domain.outcome import Confirmation, Partial, Progress

GOLDEN = Path(__file__).parent / "golden" / "external"


def golden(name: str) -> Any:
    """A golden file."""
    return json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))


def names(folder: str) -> list[str]:
    """Every golden file of a folder."""
    found = sorted(path.stem for path in (GOLDEN / folder).glob("*.json"))
    assert found
    return found


@pytest.mark.parametrize("name", names("requests"))
def test_requests(name: str):
    """Every sample is read into a campaign and its recipients, passes the door, and goes out as the same JSON."""
    body = golden(f"requests/{name}")

    message, to = message_from_json(json.dumps(body)), recipients_from_json(body)
    asked = draft(message.document(), to, account=account(allow_everyone=True))
    (spec,) = CHANNEL.split(asked)

    assert isinstance(message, Campaign)
    assert CHANNEL.check(asked) == []
    assert ("/cgi-bin/externalcontact/add_msg_template", body) == sent(part(message.document(), spec))
    assert message == message_from_json(message_to_json(message))


@pytest.mark.parametrize(
    ("field", "body"),
    [
        ("body", "not json"),
        ("body", "[]"),
        ("text", {"text": "hello"}),
        ("text", {"text": {"content": "x", "bold": 1}}),
        ("campaign.text", {"text": {"content": 5}}),
        ("attachments[0]", {"attachments": ["image"]}),
        ("attachments[0]", {"attachments": [{"msgtype": "image"}]}),
        ("attachments[0].link.url", {"attachments": [{"msgtype": "link", "link": {"title": "t"}}]}),
        ("attachments[0].image.colour", {"attachments": [{"msgtype": "image", "image": {"colour": "red"}}]}),
        ("campaign.tag_filter.group_list", {"text": {"content": "t"}, "tag_filter": {}}),
    ],
)
def test_json_that_does_not_fit(field: str, body: Any):
    """Said by the vendor's names, without a value."""
    with pytest.raises(CheckFailed) as refused:
        message_from_json(body)

    assert field == refused.value.problems[0].field


def test_what_is_not_modelled_becomes_raw():
    """A new field or type of attachment goes out as it is, where the caller says that it is meant."""
    new = {"text": {"content": "t"}, "attachments": [{"msgtype": "new", "new": {"a": 1}}], "sender": "x"}

    message = message_from_json(new, raw=True)

    assert Raw(body={name: new[name] for name in ("text", "attachments")}) == message
    assert isinstance(message_from_json({"text": {"content": "t"}, "colour": "red"}, raw=True), Raw)
    with pytest.raises(CheckFailed, match=r"attachments\[0\].msgtype: is not a type that this release knows"):
        message_from_json(new)
    with pytest.raises(CheckFailed, match=r"colour: Campaign has no such field"):
        message_from_json({"text": {"content": "t"}, "colour": "red"})


def test_created():
    """Some ids failed, and errcode is 0."""
    spec = {"sender": "chenmo", "customers": golden("requests/customers")["external_userid"]}

    found = outcome(golden("replies/created"), part(spec=spec))

    assert isinstance(found, Partial)
    assert found.receipt.msgid == "msgGCAAAXtWyujaWJHDDGi0mACAAAA"
    assert [one.recipient for one in found.refusals] == ["wmqfasd1e1927831123109rBAAAA"]


def test_the_list():
    """The task looks like the request it was made by, although its cover and half of its picture are not told."""
    message = message_from_json(golden("requests/customers"))
    facts = {"doubt": [NOW, NOW + 20], "known": []}

    found = outcome(golden("replies/list"), part(message.document(), in_doubt=True, facts=facts))

    assert isinstance(found, Progress)
    assert found.spec["look_up"]["cursor"] == "CURSOR"
    assert list(found.spec["look_up"]["found"]) == ["msgGCAAAXtWyujaWJHDDGi0mACAAAA"]


def test_members_and_results():
    """Who has sent, and what became of whom."""
    tasks = outcome(golden("replies/members"), task("track", step="task", member=None, cursor=""))
    asked = task("track", step="result", member="chenmo", cursor="")
    results, groups = (outcome(golden(f"replies/{name}"), asked) for name in ("results", "group_results"))

    assert (Confirmation("chenmo", "", 2, 1782795600), Confirmation("lihua", "", 0, None)) == tasks.confirmations
    assert tasks.spec["cursor"] == "CURSOR"
    assert [(one.recipient, one.status) for one in results.confirmations] == [
        ("woAJ2GCAAAXtWyujaWJHDDGi0mACAAAA", 1),
        ("wmqfasd1e1927831123109rBAAAA", 3),
    ]
    assert [(one.recipient, one.status, one.happened_at) for one in groups.confirmations] == [
        ("wrOgQhDgAAMYQiS5ol9G7gK9JVAAAA", 1, 1782795601)
    ]
