"""Every message class, every field and every form of recipients, at an account of every channel: the reference's page.

What no channel but one has is refused by the others, with what to use; nothing of it goes out to be ignored in silence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import BaseModel

import worker
from tools.reference.samples import fields_of, variants
from tools.reference.taken import PLACES, RECIPIENTS, accounts, answer_of, ask, classes
from worker import (
    AppChat,
    Chats,
    CustomerGroups,
    Customers,
    Emails,
    Everyone,
    Image,
    Markdown,
    Raw,
    Text,
    TextCard,
    To,
    external,
    webhook,
    youdu,
)
from worker.channels.registry import channel
from worker.domain.job import Draft

ALL = tuple(PLACES)
APP, CHAT, ROBOT, PUSH, SALES, YOUDU = ALL
CLASSES = {name: (home, made) for home, name, made in classes()}
ONLY_AT: Mapping[str, tuple[str, ...]] = {
    "wecom_app": (APP, CHAT),
    "wecom_webhook": (ROBOT, PUSH),
    "wecom_external": (SALES,),
    "youdu": (YOUDU,),
}
SHARED: Mapping[str, tuple[str, ...]] = {
    "Upload": ALL,
    "Raw": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "webhook.Raw": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "Text": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "webhook.Text": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "youdu.Text": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "Markdown": (APP, CHAT, ROBOT, PUSH),
    "webhook.Markdown": (APP, CHAT, ROBOT, PUSH),
    "News": (APP, CHAT, ROBOT, PUSH),
    "webhook.News": (APP, CHAT, ROBOT, PUSH),
    "FileMessage": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "webhook.FileMessage": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "youdu.FileMessage": (APP, CHAT, ROBOT, PUSH, YOUDU),
    "Voice": (APP, CHAT, ROBOT, PUSH),
    "webhook.Voice": (APP, CHAT, ROBOT, PUSH),
    "Image": (APP, CHAT, YOUDU),
    "youdu.Image": (APP, CHAT, YOUDU),
    # A page of a vendor's own.
    "ButtonCard": (APP,),
    "MultipleCard": (APP,),
    "NewsNoticeCard": (APP,),
    "TextNoticeCard": (APP,),
    "VoteCard": (APP,),
    "MiniProgramNotice": (APP,),
    "CardUpdate": (),
    "webhook.MiniProgram": (PUSH,),
}
"""The places of classes that are not those of their channel."""


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_is_taken_where_its_type_is_known(name: str) -> None:
    """At its own channel, and where another channel has the same type with the same fields."""
    home, made = CLASSES[name]

    taken = tuple(place for place in ALL if not answer_of(place, made, fields_of(made)).problems)

    assert SHARED.get(name, ONLY_AT[home]) == taken


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "CardUpdate"])
def test_a_refusal_says_what_to_use(name: str) -> None:
    """A class of the account's own channel, which an application can import."""
    _, made = CLASSES[name]
    for place in ALL:
        for problem in answer_of(place, made, fields_of(made)).problems:
            if problem.field == "message":
                named = re.sub(r"^use (one of )?", "", problem.remedy).split(", ")
                assert [one for one in named if not issubclass(found(one), worker.Message)] == []


def found(name: str) -> Any:
    """What an application gets by a public name."""
    value: Any = worker
    for step in name.split("."):
        value = getattr(value, step)
    return value


@pytest.mark.parametrize("name", CLASSES)
def test_no_field_goes_out_to_a_channel_that_has_not_got_it(name: str) -> None:
    """Each field of a class and of the objects in it is taken, warned about or refused, and never sent as unknown."""
    _, made = CLASSES[name]
    for place in ALL:
        if answer_of(place, made, fields_of(made)).problems:
            continue
        for path, fields in variants(made):
            answer = answer_of(place, made, fields)
            assert not [text for text in answer.warnings if "not among the vendor's fields" in text], (place, path)


@pytest.mark.parametrize("name", ["Text", "FileMessage", "Voice", "News", "Markdown", "webhook.Text"])
def test_a_field_that_the_channel_lacks_is_named(name: str) -> None:
    """Each of the class's own, at each channel but its own."""
    home, made = CLASSES[name]
    for place in (place for place in SHARED[name] if place not in ONLY_AT[home]):
        own: type[BaseModel] = next(
            one for at, public, one in classes() if place in ONLY_AT[at] and public.endswith(made.__name__)
        )
        for path, fields in variants(made):
            if "." not in path and path not in own.model_fields:
                assert path in [problem.field for problem in answer_of(place, made, fields).problems]


TAKEN: Mapping[str, tuple[str, ...]] = {
    "To(users=...)": (APP, YOUDU),
    "To(parties=...)": (APP, YOUDU),
    "To(tags=...)": (APP,),
    "AppChat(...)": (APP,),
    "Chats(...)": (PUSH,),
    "Customers(...)": (SALES,),
    "CustomerGroups(...)": (SALES,),
    "Emails(...)": (),
    "Everyone()": (APP, YOUDU),
    'Everyone("groups")': (PUSH,),
    'Everyone("blackboards")': (),
    'Everyone("all")': (PUSH,),
    "none": (ROBOT,),
}
"""The recipients that a text can have; a mail of Youdu's can have addresses, and a markdown can go to blackboards."""


@pytest.mark.parametrize("form", TAKEN)
def test_recipients_of_another_channel_are_refused(form: str) -> None:
    """Nothing of them turns into other recipients."""
    texts = {APP: Text("a"), ROBOT: webhook.Text("a"), PUSH: webhook.Text("a"), SALES: external.Campaign(text="a")}
    texts[YOUDU] = youdu.Text("a")

    taken = [at for at, text in texts.items() if not ask(PLACES[at][0], text, RECIPIENTS[form]).problems]

    assert TAKEN[form] == tuple(taken)


@pytest.mark.parametrize("name", ["safe", "enable_id_trans", "enable_duplicate_check", "post_id", "touser", "toUser"])
def test_a_field_beside_a_body_is_refused_also_in_a_raw(name: str) -> None:
    """Where the channel has no such field: a confidentiality that nobody keeps must not be asked for."""
    own = {"safe": (APP, CHAT), "enable_id_trans": (APP,), "post_id": ()}
    for place, (account, to) in PLACES.items():
        body = {"text": {"content": "a"}, name: 1}
        message = external.Raw(body=body) if place == SALES else Raw(msgtype="text", body=body)
        problems = [problem for problem in ask(account, message, to).problems if problem.field == name]
        assert (place in own.get(name, ())) == (not problems), place


SAYS = [
    (
        "app",
        webhook.MarkdownV2("x"),
        To("a"),
        "message: webhook.MarkdownV2 is a message of wecom_webhook, and wecom_app",
    ),
    ("robot", TextCard(title="t", description="d", url="https://a"), None, "use one of webhook.News"),
    ("robot", Text("x", safe=1), None, "safe: webhook.Text of wecom_webhook has no such field; leave it out, or send"),
    ("robot", Text("x", enable_id_trans=0), None, "enable_id_trans: "),
    ("robot", Text("x", duplicate_check=True), None, "duplicate_check: "),
    ("robot", Raw(msgtype="new", body={"new": {}}, duplicate_check=False), None, "duplicate_check: "),
    ("robot", Text("x").of_agentid(7), None, "agentid: "),
    ("app", Text("x", duplicate_check=True), AppChat("c"), "duplicate_check: a send_chat has no such option"),
    ("app", Text("x"), Chats("wr1"), "to: Chats(...) is of another channel; use AppChat(...)"),
    ("app", Text("x"), CustomerGroups({"a": ["wr1"]}), "to: CustomerGroups(...) is of another channel"),
    ("app", Text("x"), Customers({"a": Everyone()}), "to: Customers(...) is of another channel"),
    ("app", Text("x"), Emails("a@b.c"), "to: Emails(...) is of another channel"),
    ("app", Text("x"), Everyone("groups"), 'to: Everyone("groups") is of another channel'),
    ("im", Image(media_id="m", safe=1), To("a"), "safe: youdu.Image of youdu has no such field"),
    ("push", Image(media_id="m"), Chats("wr1"), "media_id: webhook.Image of wecom_webhook has no such field"),
    ("sales", webhook.Raw(msgtype="text", body={}), Customers("wm1"), "use external.Campaign(...), or external.Raw"),
]


@pytest.mark.parametrize(("account", "message", "to", "said"), SAYS)
def test_the_sentence_names_what_to_change(account: str, message: Any, to: Any, said: str) -> None:
    """By the class, the field or the form of the recipients, as the caller wrote it."""
    assert said in "; ".join(str(problem) for problem in ask(account, message, to).problems)


def test_an_update_of_a_card_is_for_members() -> None:
    """Customers would be left out, and the update go to everyone who has the card."""
    update = worker.CardUpdate(replace_name="done").document()
    draft = Draft("update_card", accounts().get("app"), update, Customers({"a": ["wm1"]}))

    assert "Customers(...) is of another channel" in [problem.text for problem in channel("wecom_app").check(draft)]


def test_a_subclass_of_an_application_is_of_its_channel() -> None:
    """As the class that it is derived from."""

    class Shout(Markdown):
        pass

    assert ask("app", Shout(content="x"), To("a")).problems == ()
    assert "message" in {problem.field for problem in ask("im", Shout(content="x"), To("a")).problems}


AS_TYPED: list[tuple[str, str]] = [
    ('<font color="red">a</font>', "a <font> of another colour than info, comment and warning"),
    ("<font>a</font>", "a <font> of another colour"),
    ("#a", "a # without a blank behind it"),
    ("a\n###b", "a # without a blank behind it"),
    ("`a\nb`", "code over several lines"),
    ("```\na\n```", "code over several lines"),
    ("a <u>b</u>", "a tag of HTML"),
    ("a<br/>b", "a tag of HTML"),
    ("| a | b |\n|---|---|\n| 1 | 2 |", "a table"),
    ("![a](https://a)", "a picture"),
]
PLAIN = [
    "<font color=\"info\">a</font> <font color='warning'>b</font>",
    "# a\n## b",
    "see #12 and `code`\nand `more` code",
    "`<u>`, `#a`",
    "List<String>, a < b > c, <@anna>",
    "> a\n**b** [c](https://a)",
    "a | b",
]
V2 = {"a # without a blank behind it", "a tag of HTML"}


@pytest.mark.parametrize("place", [APP, CHAT, ROBOT, PUSH])
@pytest.mark.parametrize(("content", "what"), AS_TYPED)
def test_a_mark_that_is_shown_as_typed_is_warned_about(place: str, content: str, what: str) -> None:
    """In an application's markdown and a webhook's."""
    account, to = PLACES[place]
    warned = ask(account, Markdown(content), to).warnings

    assert [text for text in warned if text.startswith(f"markdown.content: holds {what}")]


@pytest.mark.parametrize(("content", "what"), AS_TYPED)
def test_a_markdown_v2_knows_more_marks(content: str, what: str) -> None:
    """But no tags; <font> is refused there."""
    answer = ask("robot", webhook.MarkdownV2(content), None)

    assert (what in V2) == any(f"holds {what}" in text for text in answer.warnings)
    assert ("<font" in content) == bool(answer.problems)


@pytest.mark.parametrize("content", PLAIN)
def test_a_mark_that_the_client_knows_is_not_warned_about(content: str) -> None:
    """Nor is a text that only looks like one."""
    assert ask("app", Markdown(content), To("a")).warnings == ()
    assert ask("robot", webhook.Markdown(content), None).warnings == ()
