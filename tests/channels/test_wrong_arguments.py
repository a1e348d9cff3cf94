"""What a message shows and refuses by itself, in every channel: wrong arguments in one error, and never a value."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from warnings import catch_warnings

import pytest
import wecom_app_samples as wecom_app
import wecom_external_samples as wecom_external
import wecom_webhook_samples as wecom_webhook
import youdu_samples
from pydantic_core import to_json

from tests.support.odd import ODD
from worker import (
    AppChat,
    Button,
    ButtonCard,
    CardUpdate,
    Chats,
    CheckFailed,
    CustomerGroups,
    Customers,
    Emails,
    Everyone,
    Image,
    Markdown,
    Message,
    Raw,
    Text,
    TextCard,
    To,
    external,
    webhook,
    youdu,
)
from worker.domain.content.recipient import Recipients
from worker.producer.options import MessageOptions
from worker.producer.plan import JobRequest, document_of, parse_recipients, plan

WRONG: list[tuple[Callable[..., Any], dict[str, Any], set[str]]] = [
    (Text, {"contents": "secret"}, {"text.content", "text.contents"}),
    (Text, {"content": ["secret"], "safe": "secret"}, {"text.content", "safe"}),
    (
        ButtonCard,
        {"main_title": {"titel": "secret"}, "button_list": [{"text": 5}]},
        {"main_title.titel", "button_list[0].text"},
    ),
    (Button, {"txt": "secret"}, {"text", "txt"}),
    (CardUpdate, {"replace_names": "secret"}, {"replace_names"}),
    (Raw, {"msgtype": 5, "body": "secret"}, {"msgtype", "body"}),
    (webhook.Text, {"contents": "secret"}, {"text.content", "text.contents"}),
    (youdu.Text, {"contents": "secret"}, {"text.content", "text.contents"}),
    (external.Campaign, {"txt": "secret", "text": 5}, {"txt", "text"}),
    (
        external.Campaign,
        {"attachments": [{"msgtype": "link", "link": {"titel": "secret"}}, "secret", {"msgtype": "link", "link": {}}]},
        {"attachments[0]", "attachments[1]", "attachments[2]"},
    ),
]


@pytest.mark.parametrize(("made", "arguments", "fields"), WRONG, ids=range(len(WRONG)))
def test_every_wrong_argument_is_named_in_one_error(
    made: Callable[..., Any], arguments: dict[str, Any], fields: set[str]
) -> None:
    """A typo, a missing field and a wrong type are a CheckFailed, nested ones too; nothing about it holds a value."""
    with pytest.raises(CheckFailed) as refused:
        made(**arguments)

    named = {problem.field for problem in refused.value.problems}
    assert fields == named
    assert "secret" not in str(refused.value)
    assert (refused.value.__cause__, refused.value.__context__) == (None, None)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (Text(content="secret"), "Text()"),
        (Button(text="secret", key="secret"), "Button()"),
        (webhook.Text(content="secret"), "Text()"),
        (youdu.Text(content="secret"), "Text()"),
        (external.Campaign(text="secret"), "Campaign()"),
    ],
    ids=range(5),
)
def test_a_message_prints_as_its_type(message: object, shown: str) -> None:
    """Not as nothing at all, and without what stands in it."""
    assert (shown, shown) == (str(message), repr(message))


@pytest.mark.parametrize("made", [Text, Markdown, webhook.Text, webhook.Markdown, webhook.MarkdownV2, youdu.Text])
def test_a_content_may_stand_without_its_name(made: Callable[..., Message]) -> None:
    """It is the message's only required field."""
    named, unnamed = made(content="hi"), made("hi")

    assert named == unnamed


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Text("secret", "secret"), "Text(content=...)"),
        (lambda: Text("secret", content="secret"), "Text(content=...)"),
        (lambda: Image("secret"), "Image(media_id=...)"),
        (lambda: TextCard("secret"), "TextCard(title=..., description=..., url=...)"),
        (lambda: Button("secret"), "Button(text=...)"),
    ],
    ids=range(5),
)
def test_values_without_names_are_refused_with_how_it_is_written(make: Callable[[], object], told: str) -> None:
    """Where a message has not exactly one required field, and for the objects in it."""
    with pytest.raises(TypeError) as refused:
        make()

    assert str(refused.value).endswith(f" takes its fields by name: {told}")


VALID: dict[str, tuple[Any, Message, Recipients]] = {
    "app": (wecom_app, Text("hi"), To("a")),
    "external": (wecom_external, external.Campaign(text="hi"), Customers({"lihua": ["wm1"]})),
    "webhook": (wecom_webhook, webhook.Text("hi"), Chats("wr1")),
    "youdu": (youdu_samples, youdu.Text("hi"), To("a")),
}
ODD_ARGUMENTS = [
    *ODD,
    "a\x00",
    ["a\ud800"],
    "22:00-07:00 \ud800",
    datetime.max,
    timedelta.max,
    float("inf"),
    {"a"},
    object(),
]
MAKERS: list[Callable[[Any], Recipients]] = [
    *(To, Chats, AppChat, Emails, Customers, CustomerGroups, Everyone, partial(To, None), partial(To, None, None)),
    lambda value: Customers({"lihua": value}),
    lambda value: CustomerGroups({"lihua": [value]}),
]


@pytest.mark.parametrize("valid", VALID.values(), ids=VALID)
def test_a_job_with_one_odd_argument_is_planned_or_refused(valid: tuple[Any, Message, Recipients]) -> None:
    """Any option, recipients of any kind, something else than a message; what is planned can be stored."""
    samples, message, to = valid
    account = samples.account(allow_everyone=True)

    def is_planned(message: Any, to: Any, options: Any) -> bool:
        request = JobRequest("send", account, document_of(message), parse_recipients(to), options=options)
        planned = plan(request, bytes(32))
        return "\\u0000" not in to_json([planned.job, planned.parts, planned.warnings]).decode()

    assert is_planned(message, to, {})
    for value in ODD_ARGUMENTS:
        jobs: list[Callable[[], bool]] = [
            *(partial(is_planned, message, to, {name: value}) for name in MessageOptions.__annotations__),
            *(partial(lambda make, value: is_planned(message, make(value), {}), make, value) for make in MAKERS),
            partial(is_planned, message, value, {}),
            partial(is_planned, value, to, {}),
        ]
        for job in jobs:
            with suppress(CheckFailed), catch_warnings(action="ignore"):
                assert job()
