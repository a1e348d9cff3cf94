"""The door of webhooks: what is refused before anything is stored, and what is warned of."""

from __future__ import annotations

from typing import Any

import pytest
from wecom_webhook_samples import ALL_ADDRESSED, CHANNEL, PNG, account, draft, problems

from worker.channels.wecom_webhook import (
    Action,
    Article,
    Attachment,
    FileMessage,
    Image,
    Markdown,
    MarkdownV2,
    MiniProgram,
    News,
    Raw,
    Text,
    TextNoticeCard,
    Upload,
    Voice,
    message_from_json,
)
from worker.domain.account import Account, Secret
from worker.domain.content.message import File, Message
from worker.domain.content.recipient import Chats, Everyone, Recipients, To
from worker.domain.errors import CheckFailed
from worker.language import translate

ROBOT = account("robot")
ACTION = Action(name="ok", text="OK", value="1", replace_text="done")
CARD = TextNoticeCard(main_title={"title": "t"}, card_action={"type": 1, "url": "https://e.com"})
ADDRESSED: list[Message] = [
    MiniProgram(title="t", pic_media_id="m", appid="a", page="p"),
    FileMessage(media_id="m"),
    Voice(media_id="m"),
    CARD,
]
ANYWHERE: list[Message] = [
    Text(content="x"),
    Markdown(content="x"),
    MarkdownV2(content="x"),
    Image(file=File(PNG, "a.png")),
    News(articles=[Article(title="t", url="https://e.com")]),
]


def only(found: list[str]) -> str:
    """The one thing that is wrong."""
    assert len(found) == 1, found
    return found[0]


def warned(message: Message, to: Recipients | None = None, of: Account | None = None) -> list[str]:
    """What is worth saying."""
    return CHANNEL.warnings(draft(message, to, **({"account": of} if of else {})))


@pytest.mark.parametrize("message", [*ANYWHERE, *ADDRESSED], ids=lambda one: type(one).__name__)
def test_every_type_passes_where_it_belongs(message: Message) -> None:
    """On message push to a chat (where its chatid is known to be obeyed) and to all groups; on a robot without any."""
    assert problems(message, account=account(settings=ALL_ADDRESSED)) == []
    assert problems(message, Everyone("groups")) == []
    if not isinstance(message, MiniProgram):
        assert problems(message, account=ROBOT) == []


# -- where it goes ----------------------------------------------------------------------------------------------------


def test_message_push_never_goes_without_a_chatid() -> None:
    """The vendor would post to every group."""
    assert "every group" in only(problems(Text(content="x"), Recipients()))


@pytest.mark.parametrize("message", ADDRESSED, ids=lambda one: type(one).__name__)
def test_types_whose_chatid_may_be_ignored_go_to_no_single_chat(message: Message) -> None:
    """Until somebody has tried and says so: every group might get it."""
    assert "every group would get it" in only(problems(message, Chats("wr1")))


@pytest.mark.parametrize(
    ("to", "said"),
    [
        (To("zhangsan"), "posts to chats"),
        (Chats("wr1", "WR1"), "case only"),
        (Chats("@all_group"), "names a broadcast"),
        (Chats("wr 1"), "malformed"),
        (Chats("wr1|wr2"), "malformed"),
        (Everyone(), "which broadcast"),
        (Everyone("blackboards"), "does not reach blackboards"),
        (Recipients(chats=("wr1",), everyone=True, audience="groups"), "at once"),
    ],
)
def test_recipients_that_no_call_can_have(to: Recipients, said: str) -> None:
    """Each with its remedy, and without the ids."""
    found = problems(Text(content="x"), to)

    assert any(said in one for one in found)
    assert "zhangsan" not in str(found)


def test_everybody_needs_the_accounts_word() -> None:
    """`allow_everyone`."""
    found = problems(Text(content="x"), Everyone("groups"), account=account(allow_everyone=False))

    assert "allow_everyone = true" in only(found)


def test_all_of_a_type_without_a_chatid_is_refused() -> None:
    """Its section of the page has no broadcast; the vendor's default is all groups."""
    assert "both groups and blackboards" in only(problems(FileMessage(media_id="m"), Everyone("all")))


@pytest.mark.parametrize("to", [Chats("wr1"), Everyone("groups")])
def test_a_robot_takes_no_recipients(to: Recipients) -> None:
    """It would ignore them."""
    assert "the one chat it is in" in only(problems(Text(content="x"), to, account=ROBOT))


@pytest.mark.parametrize(
    ("message", "to", "said"),
    [
        (Text(content="x", post_id="bp1"), Chats("a", "b"), "exactly one"),
        (Text(content="x", visible_to_user=["li"]), Everyone("groups"), "exactly one"),
        (Text(content="x", visible_to_user=["li", "no id"]), Chats("wr1"), "no userid"),
        (Text(content="x", post_id=" "), Chats("wr1"), "not a text"),
        (Raw(msgtype="markdown_v2", body={"markdown_v2": {"content": "x"}, "post_id": "b"}), Chats("wr1"), "list it"),
        (Raw(msgtype="text", body={"text": {"content": "x"}, "chatid": "wr1"}), Chats("wr1"), "set by the worker"),
    ],
)
def test_what_stands_beside_a_message(message: Message, to: Recipients, said: str) -> None:
    """Refused where the vendor would ignore it."""
    assert said in only(problems(message, to))


def test_what_only_message_push_has_is_refused_on_a_robot() -> None:
    """Addressing, buttons, short names, mini programs."""
    messages = [
        Text(content="x", post_id="bp1"),
        Markdown(content="x", visible_to_user="li"),
        Markdown(content="x", at_short_name=True),
        Markdown(content="x", attachments=[Attachment(actions=[ACTION])]),
        ADDRESSED[0],
    ]

    assert all("push" in only(problems(one, account=ROBOT)) for one in messages)


# -- what it says -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Text(content=""), "44004"),
        (Text(content="字" * 683), "2048 bytes, found 2049"),
        (Text(content="x", mentioned_list=["a b"]), "at place 0"),
        (Text(content="x", mentioned_mobile_list=["13800001111", "li"]), "at place 1"),
        (Markdown(content="x" * 4097), "4096 bytes"),
        (Markdown(content="x", attachments=[Attachment(actions=[ACTION] * 21)]), "1 to 20"),
        (Markdown(content="x", attachments=[Attachment(actions=[])]), "1 to 20"),
        (Markdown(content="x", attachments=[]), "too few"),
        (
            Markdown(content="x", attachments=[Attachment(callback_id="a", actions=[ACTION])] * 2),
            "repeats an earlier entry",
        ),
        (MarkdownV2(content="hi <@li>"), "mentions nobody"),
        (MarkdownV2(content='<FONT color="info">x</FONT>'), "no colours"),
        (News(articles=[]), "45008"),
        (News(articles=[Article(title="字" * 43, url="https://e.com")]), "cuts off the rest"),
        (Image(), "missing"),
        (Image(file=File(PNG + bytes(2 << 20), "a.png")), "2097152 bytes"),
        (Raw(msgtype="image", body={"image": {"base64": "aGk=", "md5": "x"}}), "as a file"),
        (Raw(msgtype="brand new", body={}), "40008"),
        (Raw(msgtype="upload", body={"upload": {}}), "not a message to send"),
        (Raw(msgtype="text", body={"text": "x"}), "needs an object"),
        (Text(content="a\x00b"), "control character"),
    ],
)
def test_what_the_vendor_would_refuse_cut_or_show_raw(message: Message, said: str) -> None:
    """By the vendor's path, with limit and size, never the value."""
    assert any(said in one for one in problems(message))


@pytest.mark.parametrize("name", ["name", "text", "value", "replace_text", "border_color"])
def test_a_button_within_its_bytes(name: str) -> None:
    """Each field of an action, with its path."""
    button = ACTION.model_copy(update={name: "字" * 43})

    found = only(problems(Markdown(content="x", attachments=[Attachment(actions=[button])])))

    assert found.startswith(f"markdown.attachments[0].actions[0].{name}")


def test_a_card_of_another_type() -> None:
    """A robot has two; which others message push has is not published, so there the vendor says."""
    raw = Raw(msgtype="template_card", body={"template_card": {"card_type": "vote_interaction"}})

    assert any("42031" in one for one in problems(raw, account=ROBOT))
    assert problems(raw, Everyone("groups")) == []
    assert any("not published" in one for one in warned(raw, Everyone("groups")))


@pytest.mark.parametrize(
    ("file", "kind", "said"),
    [
        (File(b"12345", "a.txt"), "file", "40006"),
        (File(b"#!AMR\n12", "a.amr"), "image", "40005"),
        (File(PNG, "a.png"), "inline", "40005"),
        (File(b"123456", "///"), "file", "name"),
    ],
)
def test_uploads(file: File, kind: str, said: str) -> None:
    """What webhook/upload_media takes: two types, more than 5 bytes."""
    found = problems(Upload(file=file, upload_type=kind), Recipients(), kind="upload")

    assert any(said in one for one in found)
    assert problems(Upload(file=File(b"123456", "a.txt")), Recipients(), kind="upload") == []


@pytest.mark.parametrize(
    ("msgtype", "content", "kind", "said"),
    [
        ("file", {}, "voice", "is of another upload type"),
        ("voice", {"media_id": "m"}, "voice", "has a value and a file"),
        ("text", {"content": "x"}, "inline", "takes no file as Base64"),
    ],
)
def test_files_stand_where_they_belong(msgtype: str, content: Any, kind: str, said: str) -> None:
    """Of the type its place takes, and not beside a media_id."""
    files = {f"{msgtype}.media_id": (kind, File(b"#!AMR\n123", "a.amr"))}

    found = problems(Raw(msgtype=msgtype, body={msgtype: content}, files=files), Everyone("groups"))

    assert any(said in one for one in found)


def test_an_unknown_kind_of_job() -> None:
    """A recall is refused before it is checked; nothing else is known."""
    assert "has no such kind of job" in only(problems(Text(content="x"), kind="recall"))


# -- warned -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (Markdown(content="x", attachments=[Attachment(actions=[ACTION, ACTION])]), "same name"),
        (CARD.model_copy(update={"sub_title_text": "字" * 113}), "112"),
    ],
)
def test_what_is_worth_saying(message: Message, said: str) -> None:
    """It is sent all the same."""
    assert any(said in one for one in warned(message, of=account(settings=ALL_ADDRESSED)))


def test_several_chats_and_the_wording_of_all_groups() -> None:
    """A member of several gets it several times; a text to all groups may reach blackboards."""
    assert "several times" in only(warned(Text(content="x"), Chats("a", "b")))
    assert "blackboards too" in only(warned(Text(content="x"), Everyone("groups")))
    assert warned(Text(content="x")) == []


# -- the account, and JSON --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({}, "edition"),
        ({"edition": "beta"}, "edition"),
        ({"edition": "push", "subscribed": "no"}, "subscribed"),
        ({"edition": "push", "chatid_for": ["text"]}, "chatid_for"),
        ({"edition": "push", "callback": True}, "callback"),
        ({"edition": "push", "callback": {"token": Secret(lambda: "t")}}, "callback.aes_key"),
        ({"edition": "push", "callback": {"token": "t", "aes_key": Secret(lambda: "k")}}, "callback.token"),
        ({"edition": "robot", "callback": {n: Secret(lambda: "t") for n in ("token", "aes_key")}}, "callback"),
    ],
)
def test_a_wrong_account_is_told_at_the_start(settings: dict[str, Any], field: str) -> None:
    """By its setting."""
    wrong = CHANNEL.account_problems(Account("alerts", "wecom_webhook", "http://vendor", settings))

    assert [field] == [one.field for one in wrong]


def test_a_right_account() -> None:
    """Nothing is wrong with it, whoever reads it: no secret is asked for."""
    callback = {name: Secret(lambda: "t") for name in ("token", "aes_key")}

    assert CHANNEL.account_problems(account(settings={"callback": callback, **ALL_ADDRESSED})) == []
    assert CHANNEL.account_problems(ROBOT) == []


@pytest.mark.parametrize(
    "body",
    [
        "no json",
        [],
        {},
        {"msgtype": "text", "text": {"nonsense": 1}},
        {"msgtype": "text", "text": {"content": "x"}, "safe": 1},
        {"msgtype": "image", "image": {"base64": "#", "md5": "x"}},
        {"msgtype": "image", "image": {"base64": "aGk=", "md5": "0" * 32}},
    ],
)
def test_json_that_does_not_fit(body: Any) -> None:
    """CheckFailed names the field and shows no value."""
    with pytest.raises(CheckFailed):
        message_from_json(body)


def test_a_picture_that_is_missing_is_missed() -> None:
    """It is not taken for one with another MD5."""
    (problem,) = CHANNEL.check(draft(message_from_json({"msgtype": "image", "image": {"md5": "0" * 32}})))

    assert (problem.field, problem.text) == ("image.base64", "is missing or empty (vendor code 40009)")


def test_a_message_shows_nothing_of_itself() -> None:
    """Neither in its `repr` nor where it is wrong."""
    message = Text(content="canary", mentioned_list=["canary"])

    assert "canary" not in repr(message)
    with pytest.raises(CheckFailed, match="content") as raised:
        Text(content=["canary"])  # type: ignore[arg-type]
    assert "canary" not in str(raised.value)


def test_a_mention_of_all_in_markdown_reaches_nobody() -> None:
    """A warning, with its Chinese; in code it is meant as it is typed."""
    found = warned(Markdown(content="hello <@all>"))

    assert "mentions nobody" in only(found)
    assert found != [translate(one, "zh") for one in found]
    assert warned(Markdown(content="hello `<@all>`")) == []


@pytest.mark.parametrize("msgtype", ["image", "news", "markdown_v2"])
def test_all_is_all_groups_for_types_without_blackboards(msgtype: str) -> None:
    """By the page: taken, with a warning that says what it means."""
    bodies = {
        "image": Image(file=File(PNG, "a.png")),
        "news": News(articles=[Article(title="t", url="www.qq.com")]),
        "markdown_v2": MarkdownV2(content="x"),
    }
    asked = draft(bodies[msgtype], Everyone("all"))

    assert CHANNEL.check(asked) == []
    assert any("@all reaches groups alone" in one for one in CHANNEL.warnings(asked))


def test_samples_of_the_public_page_pass() -> None:
    """News with a url without a scheme, with a warning; a picture whose shape is the page's own limit."""
    news = Raw(msgtype="news", body={"news": {"articles": [{"title": "t", "url": "www.qq.com", "picurl": "http://p"}]}})
    card = {
        "card_type": "news_notice",
        "main_title": {"title": "t"},
        "card_image": {"url": "https://p", "aspect_ratio": 2.25},
        "card_action": {"type": 1, "url": "https://a"},
    }
    robot = account("robot")

    assert problems(news, account=robot) == []
    assert [one.split(":")[0] for one in CHANNEL.warnings(draft(news, account=robot))] == ["news.articles[0].url"]
    assert problems(Raw(msgtype="template_card", body={"template_card": card}), account=robot) == []
