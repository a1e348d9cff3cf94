"""Any JSON at all is a message of a channel, or is refused with `CheckFailed`, which quotes nothing of it."""

from __future__ import annotations

import importlib
import itertools
import json
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from test_page_samples import of_go, samples

from tests.support.odd import WORD, altered
from worker.channels.registry import channel, names
from worker.domain.content.message import Message
from worker.domain.errors import CheckFailed

CHANNELS = [name for name in names() if channel(name).bodies is not None]
TYPES = ["text", "markdown", "template_card", "news", "file", "image", "mail", "sysMsg", "link", "composite", "x"]
NAMES = st.sampled_from(
    [
        *("msgtype", "msgType", "agentid", "touser", "toUser", "chatid", "userlist", "popWindow", "account", "button"),
        *(
            "template_card",
            "card_type",
            "content",
            "articles",
            "attachments",
            "enable_duplicate_check",
            "safe",
            "sender",
        ),
        *("external_userid", "chat_type", "toAll", "response_code", "replace_text", "duplicate_check_interval", *TYPES),
    ]
)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from([*TYPES, WORD]) | st.text(max_size=9)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=9), inner, max_size=5)
)
BODIES = st.dictionaries(NAMES | st.text(max_size=9), VALUES, max_size=6) | st.builds(
    lambda msgtype, rest, content: {"msgtype": msgtype, "msgType": msgtype, **rest, msgtype: content},
    st.sampled_from(TYPES),
    st.dictionaries(NAMES, VALUES, max_size=3),
    VALUES,
)


@pytest.mark.parametrize("name", CHANNELS)
@given(data=BODIES | VALUES.map(json.dumps) | st.binary(max_size=40) | st.text(max_size=40))
@example(data="[" * 100_000)
@example(data='{"a":' * 100_000)
@example(data='{"msgtype": ' + "9" * 5_000 + "}")
@example(data="\ud800")
def test_any_document_is_a_message_or_refused(name: str, data: Any) -> None:
    """A message goes into JSON and comes out of it as it was."""
    message, refused = read(name, data)

    assert WORD not in f"{message!r} {refused!r} {refused}"
    json.dumps(message and message.document())


BODIES_OF_PAGES = [
    *(json.loads(sample) for page in ("wecom_webhook", "wecom_external", "youdu") for sample in samples(f"{page}.txt")),
    *map(of_go, samples("powerwechat.txt")),
    {"msgtype": "template_card", "template_card": {"card_type": "text_notice", "main_title": {"title": "a"}}},
    {"msgtype": "template_card", "template_card": {"card_type": "button_interaction", "button_list": [{"key": "a"}]}},
]


@pytest.mark.parametrize("name", CHANNELS)
def test_a_body_of_a_page_with_one_odd_value_is_a_message_or_refused(name: str) -> None:
    """Also, one in four, in channels that the page is not about, and as `Raw`, which the check refuses or lets be."""
    draft = importlib.import_module(f"{name}_samples").draft
    for data in altered_bodies(name):
        message, refused = read(name, data)
        assert WORD not in f"{refused!r} {refused}"
        raw = {"type": "template_card", "body": data} if isinstance(data, dict) else None
        for document in (message and message.document(), raw):
            for problem in channel(name).check(draft(document)) if document else ():
                assert WORD not in f"{problem}"


def altered_bodies(name: str) -> Iterator[Any]:
    """The bodies of all pages with one odd value; of those that are no message of the channel one in four."""
    for body in BODIES_OF_PAGES:
        message, _ = read(name, body)
        yield from itertools.islice(altered(body), 0, None, 1 if message else 4)


def read(name: str, data: Any) -> tuple[Message | None, CheckFailed | None]:
    """The message, or why it is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return channel(name).bodies.message_from_json(data), None
        except CheckFailed as refused:
            return None, refused
