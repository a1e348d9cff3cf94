"""Messages of every kind on their way: pieces in order, files inside cards, chats, and what can never be updated."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.support.runtime import RECALL, SEND, UPLOAD, Site, lost, planted, refused
from worker import (
    AppChat,
    ButtonCard,
    CardUpdate,
    CheckFailed,
    CreateChat,
    File,
    HorizontalContent,
    MpNews,
    MpNewsArticle,
    Raw,
    Text,
    TextNoticeCard,
    To,
    get_job,
    recall,
    receipts,
    replay,
    resend_failed,
    update_card,
    upload,
)
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases(
    "the vendor takes messages and chats; their rows are written on each elsewhere"
)

CHAT_SEND = "/cgi-bin/appchat/send"
CHAT_CREATE = "/cgi-bin/appchat/create"
UPLOAD_IMAGE = "/cgi-bin/media/uploadimg"
NOTICE = {"sub_title_text": "disk", "card_action": {"type": 1, "url": "https://ops.example.com"}}
MENU = {"action_list": [{"text": "mute", "key": "mute"}]}


@pytest.fixture
def site(database: Database, driven_clock: DrivenClock) -> Iterator[Site]:
    with planted(database, driven_clock) as planted_site:
        yield planted_site


def counts(site: Site, job: str) -> dict[str, int]:
    """How the recipients of a job stand."""
    with site.database.reading() as connection:
        found = get_job(connection, job).counts
    return {name: value for name in ("asked", "accepted", "refused", "unknown") if (value := getattr(found, name))}


def problem(site: Site, ask) -> str:  # type: ignore[no-untyped-def]
    """What the door says."""
    with pytest.raises(CheckFailed) as refusal, site.database.writing() as connection:
        ask(connection)
    return str(refusal.value)


# -- overflow ---------------------------------------------------------------------------------------------------------


def test_a_long_text_goes_out_in_pieces_in_order(site: Site) -> None:
    """Every piece is a call with an msgid of its own; the job says what was done, and one recall takes all back."""
    long = "\n".join(f"line {n}" for n in range(600))
    job = site.ask(Text(content=long), To("lisi"), overflow="split")

    site.run()
    with site.database.writing() as connection:
        warnings = get_job(connection, job).warnings
        recall(connection, job, accounts=site.accounts)
    site.run()

    assert long == "".join(body["text"]["content"] for body in site.bodies(SEND))
    assert 3 == len(site.bodies(SEND)) == len(site.calls(RECALL))
    assert counts(site, job) == {"asked": 1, "accepted": 1}
    assert "split into 3 messages" in warnings[0]


def test_who_lacks_a_piece_has_not_got_the_text(site: Site) -> None:
    """One piece refused: the recipient is refused, and sending again sends all pieces."""
    job = site.ask(Text(content="a " * 1500), To("lisi"), overflow="split")
    site.vendor.says(site.vendor.takes, refused(81013, invaliduser="lisi"))

    site.run()
    with site.database.writing() as connection:
        again = resend_failed(connection, job, accounts=site.accounts).id
    site.run()

    assert counts(site, job) == {"asked": 1, "refused": 1}
    assert counts(site, again) == {"asked": 1, "accepted": 1}
    assert len(site.bodies(SEND)) == 4


def test_overflow_is_a_choice_of_three(site: Site) -> None:
    """Refused by default with the remedy, truncated on request, and no other word."""
    long = Text(content="x" * 3000)

    with pytest.raises(CheckFailed, match="overflow="):
        site.ask(long)
    with pytest.raises(CheckFailed, match="overflow: is not one of the choices"):
        site.ask(long, overflow="cut")
    site.ask(long, overflow="truncate")
    site.run()

    assert [body["text"]["content"] for body in site.bodies(SEND)] == ["x" * 2045 + "…"]


# -- files inside messages --------------------------------------------------------------------------------------------


def test_files_inside_cards_and_articles(site: Site) -> None:
    """A file held by a line of a card or by an article is uploaded first, under its own name and upload type."""
    line = HorizontalContent(type=2, keyname="附件", file=File(b"figures", '七月"报表.txt'))
    site.ask(TextNoticeCard(horizontal_content_list=[line], **NOTICE))
    article = MpNewsArticle(title="t", content="<p>c</p>", file=File(b"\x89PNG\r\n\x1a\n" + bytes(50), "a.png"))
    site.ask(MpNews(articles=[article]))

    site.run()

    card, news = sorted(site.bodies(SEND), key=lambda body: body["msgtype"] == "mpnews")
    (entry,) = card["template_card"]["horizontal_content_list"]
    assert (entry["value"], entry["media_id"].startswith("media")) == ("七月报表.txt", True)
    assert news["mpnews"]["articles"][0]["thumb_media_id"].startswith("media")
    assert {call.query["type"] for call in site.calls(UPLOAD)} == {"file", "image"}


def test_a_permanent_picture_is_uploaded(site: Site) -> None:
    """uploadimg is a job like every upload; its receipt is the URL."""
    site.vendor.says(refused(0, "", url="http://p.qpic.cn/x"))
    with site.database.writing() as connection:
        picture = File(b"\x89PNG\r\n\x1a\n" + bytes(50), "a.png")
        job = upload(connection, "hr", picture, "uploadimg", accounts=site.accounts).id

    site.run()

    assert site.state(job) == "accepted"
    assert len(site.calls(UPLOAD_IMAGE)) == 1
    with site.database.reading() as connection:
        [receipt] = receipts(connection, job)
    assert (receipt.url, receipt.media_id, receipt.chatid) == ("http://p.qpic.cn/x", None, None)


# -- chats ------------------------------------------------------------------------------------------------------------


def test_a_send_to_chats_is_a_call_each(site: Site) -> None:
    """Accepted without msgids; neither recalled nor updated, and the door says why."""
    job = site.ask(Text(content="交班"), AppChat("duty2026", "night"))

    site.run()

    assert sorted(body["chatid"] for body in site.bodies(CHAT_SEND)) == ["duty2026", "night"]
    assert counts(site, job) == {"asked": 2, "accepted": 2}
    said = problem(site, lambda c: recall(c, job, accounts=site.accounts))
    assert "gives no msgid" in said


def test_a_send_to_a_chat_in_doubt_is_held(site: Site) -> None:
    """Nothing makes its repeat safe; the others of the job go on."""
    job = site.ask(Text(content="交班"), AppChat("a", "b"))
    site.vendor.says(lost())

    site.run()
    site.advance(600)
    site.recover()
    site.run()

    assert len(site.bodies(CHAT_SEND)) == 2
    assert counts(site, job) == {"asked": 2, "accepted": 1, "unknown": 1}


def test_a_chat_that_refuses_is_sent_to_again_alone(site: Site) -> None:
    """A dissolved chat holds up no other; `resend_failed` reaches it."""
    job = site.ask(Text(content="交班"), AppChat("a", "b"))
    site.vendor.says(refused(49008))

    site.run()
    with site.database.writing() as connection:
        again = resend_failed(connection, job, accounts=site.accounts).id
    site.run()

    assert counts(site, job) == {"asked": 2, "accepted": 1, "refused": 1}
    assert counts(site, again) == {"asked": 1, "accepted": 1}
    assert [body["chatid"] for body in site.bodies(CHAT_SEND)] == ["a", "b", "a"]


def test_a_chat_is_made_once(site: Site) -> None:
    """The answer was lost: the repeat under the same chatid proves that it was made."""
    job = site.ask(CreateChat(name="值班群", userlist=["lihua", "chenmo"]), None)
    site.vendor.says(lost(), refused(86215))

    site.run()
    site.advance(600)
    site.recover()
    site.run()

    assert [job, job] == [body["chatid"] for body in site.bodies(CHAT_CREATE)]
    assert site.state(job) == "accepted"


# -- updates ----------------------------------------------------------------------------------------------------------


def test_a_card_that_cannot_be_updated_is_refused_at_once(site: Site) -> None:
    """Before anything is stored, with what to do instead."""
    plain = site.send()
    notice = site.ask(TextNoticeCard(**NOTICE))
    menu = site.ask(TextNoticeCard(action_menu=MENU, **NOTICE))
    frozen = CardUpdate(replace_name="done")

    said = [
        problem(site, lambda c, job=job: update_card(c, job, frozen, accounts=site.accounts))  # type: ignore[misc]
        for job in (plain, notice, menu)
    ]

    assert "no template card" in said[0]
    assert "give it an action_menu" in said[1]
    assert "replace the whole card" in said[2]


def test_every_card_that_calls_back_can_become_any_card(site: Site) -> None:
    """A notice with a menu, given as plain JSON, is replaced by a typed button card without its task_id."""
    raw = {"card_type": "text_notice", "action_menu": MENU, **NOTICE}
    job = site.ask(Raw(msgtype="template_card", body={"template_card": raw}))
    card = ButtonCard(
        main_title={"title": "t"}, button_list=[{"text": "ok", "key": "ok"}], task_id="x", replace_text="done"
    )
    site.run()

    with site.database.writing() as connection:
        update_card(connection, job, CardUpdate(template_card=card), accounts=site.accounts)
    site.run()

    (body,) = site.bodies("/cgi-bin/message/update_template_card")
    assert (body["template_card"]["card_type"], body["template_card"]["replace_text"]) == ("button_interaction", "done")
    assert "task_id" not in body["template_card"]


def test_a_split_text_is_replayed_in_the_same_pieces(site: Site) -> None:
    """The pieces are stored with the job."""
    job = site.ask(Text(content="a " * 1500), To("lisi"), overflow="split")
    site.run()

    with site.database.writing() as connection:
        replay(connection, job, accepted=True, unknown=True, accounts=site.accounts)
    site.run()

    sent = [json.dumps(body["text"]) for body in site.bodies(SEND)]
    assert sent[:2] == sent[2:]


# -- the duplicate check ----------------------------------------------------------------------------------------------


def test_a_short_interval_swallows_no_later_message(site: Site) -> None:
    """The vendor looks back as far as the later call asks, so that one goes without the check while it could."""
    site.ask(Text(content="same", duplicate_check_interval=60))
    site.run()
    site.advance(600)
    site.ask(Text(content="same"))
    site.run()

    assert [body.get("duplicate_check_interval") for body in site.bodies(SEND)] == [60, None]


def test_a_short_interval_covers_a_repeat_no_longer(site: Site) -> None:
    """After it the repeat would be a second message: it is held."""
    job = site.ask(Text(content="once", duplicate_check_interval=200))
    site.vendor.says(lost())
    site.run()

    site.advance(300)
    site.recover()
    site.run()

    assert site.state(job) == "unknown"
    assert len(site.bodies(SEND)) == 1
