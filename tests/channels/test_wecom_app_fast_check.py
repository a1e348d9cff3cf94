"""What is found sound in one look has nothing wrong with it: `is_plain` never says yes where a check would speak."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, strategies as st
from wecom_app_samples import CHANNEL, account

from worker.channels.wecom_app.check import BODIES
from worker.domain.content.recipient import AppChat, Everyone, Recipients, To
from worker.domain.job import Draft

WORDS = [
    "",
    " ",
    "你好",
    "$userName=a$",
    "\x00",
    "\ud800",
    "x" * 2048,
    "字" * 682,
    "字" * 683,
    "😀" * 512,
    "😀" * 513,
    "x" * 2049,
    5,
    None,
    ["a"],
]
FLAGS = [
    {"duplicate_check": True},
    {"duplicate_check": 1},
    {},
    {"duplicate_check": True, "duplicate_check_interval": 0},
]
USERS = ["zhang", "a b", "@all", "@ALL", "@all.de", "x" * 64, "x" * 65, "", 7, "ſun", "\u212ay"]
TYPES = ["text", "markdown", *BODIES, "template_card", "nonsense", "upload", 5, None]
NAMES = ["content", "content", "title", "description", "mentioned_list", "media_id", "url", "newest"]
ABILITIES = [{}, {"wechat_plugin_home": True}, {"textcard_unit": "characters"}]

bodies = st.dictionaries(st.sampled_from(NAMES), st.one_of(st.sampled_from(WORDS), st.text(max_size=20)), max_size=3)
extras = st.dictionaries(st.sampled_from(["safe", "enable_id_trans", "touser"]), st.integers(0, 2), max_size=1)
recipients = st.one_of(
    st.builds(lambda users: Recipients(tuple(users)), st.lists(st.sampled_from(USERS), max_size=3)),
    st.sampled_from([Everyone(), AppChat("c1"), To(["a"], [1]), To(["a"], tags=["x"]), To(map(str, range(1001)))]),
)


@given(
    kind=st.sampled_from(["send", "send", "send", "send_chat", "upload"]),
    msgtype=st.sampled_from(TYPES),
    body=bodies,
    extra=extras,
    options=st.sampled_from(FLAGS),
    to=recipients,
    ability=st.sampled_from(ABILITIES),
    pieces=st.sampled_from([None, ["a", "b"]]),
)
@example("send", "text", {"content": "x" * 2048}, {}, FLAGS[0], To(["a"]), {}, None)
@example("send", "text", {"content": "字" * 683}, {}, FLAGS[0], To(["a"]), {}, None)
@example("send", "text", {"content": "😀" * 600}, {}, FLAGS[0], To(["a"]), {}, None)
@example("send", "text", {"content": "x"}, {}, FLAGS[0], Recipients(("ſun",)), {}, None)
@example("send", "text", {"content": " "}, {}, FLAGS[0], To(["a"]), {}, None)
def test_plain_means_nothing_to_say(
    kind: str,
    msgtype: Any,
    body: dict[str, Any],
    extra: dict[str, Any],
    options: dict[str, Any],
    to: Recipients,
    ability: dict[str, Any],
    pieces: list[str] | None,
) -> None:
    """For whatever is thrown at it."""
    message = {"type": msgtype, "body": {msgtype: body, **extra}, "options": options}
    asked = Draft(kind, account(ability), message | ({"pieces": pieces} if pieces else {}), to)

    if CHANNEL.is_plain(asked):
        assert CHANNEL.check(asked) == []
        assert CHANNEL.warnings(asked) == []
        assert [to.to_json()] == CHANNEL.split(asked)


@pytest.mark.parametrize("content", ["你好", "x" * 2048, "<a href='https://e.com'>字</a>\n"])
def test_a_common_message_is_plain(content: str) -> None:
    """Or nothing would be won."""
    message = {"type": "text", "body": {"text": {"content": content}}, "options": {"duplicate_check": True}}

    assert CHANNEL.is_plain(Draft("send", account(), message, To(["zhang", "li@e.com"])))
