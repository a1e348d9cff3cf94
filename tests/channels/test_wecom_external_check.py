"""What is refused or warned of before a campaign is stored."""

from __future__ import annotations

from typing import Any

import pytest
from wecom_external_samples import CHANNEL, account, campaign, draft

from worker import CheckFailed
from worker.channels.wecom_external import Campaign, File, Image, Link, MiniProgram, Raw, Video
from worker.domain.content import message
from worker.domain.content.recipient import AppChat, CustomerGroups, Customers, Everyone, Recipients, To

LINK = {"title": "t", "url": "https://e.com"}
PAGE = {"title": "t", "pic_media_id": "m", "appid": "wx1", "page": "p"}
OPEN = account(allow_everyone=True)


def fields(**asked: Any) -> list[str]:
    """The fields a job is refused for."""
    return [problem.field for problem in CHANNEL.check(draft(**asked))]


def attached(entry: Any, **files: Any) -> dict[str, Any]:
    """A document with one attachment, written by hand."""
    document: dict[str, Any] = {"type": "campaign", "body": {"attachments": [entry]}}
    return {**document, "files": files} if files else document


def test_a_whole_campaign_passes():
    """Text, nine attachments of all five types, and every option."""
    pieces = [Image(media_id="m"), Link(**LINK), MiniProgram(**PAGE), Video(media_id="m"), File(media_id="m")]
    nine = campaign("字" * 1333, *pieces, *[Image(pic_url="http://p.qpic.cn/1")] * 4, allow_select=True)

    assert fields(message=nine) == []
    assert fields(message=campaign(None, Link(**LINK))) == []


@pytest.mark.parametrize(
    ("field", "document"),
    [
        ("text.content", campaign("x" * 4001)),
        ("text.content", campaign("字" * 1334)),
        ("text.content", campaign(None)),
        ("text.content", campaign("  ")),
        ("attachments", campaign("t", *[Link(**LINK)] * 10)),
        ("attachments[0].msgtype", attached({"msgtype": "voice", "voice": {"media_id": "m"}})),
        ("attachments[0]", attached({"msgtype": "image", "link": LINK})),
        ("attachments[0].image.media_id", attached({"msgtype": "image", "image": {}})),
        ("attachments[0].image.pic_url", campaign("t", Image(pic_url="p.qpic.cn/1"))),
        ("attachments[0].link.title", campaign("t", Link(**{**LINK, "title": ""}))),
        ("attachments[0].link.title", campaign("t", Link(**{**LINK, "title": "字" * 43}))),
        ("attachments[0].link.desc", campaign("t", Link(**LINK, desc="x" * 513))),
        ("attachments[0].link.picurl", campaign("t", Link(**LINK, picurl="x" * 2049))),
        ("attachments[0].link.url", campaign("t", Link(title="t", url="e.com"))),
        ("attachments[0].link.url", campaign("t", Link(title="t", url="https://" + "x" * 2041))),
        ("attachments[0].miniprogram.title", campaign("t", MiniProgram(**{**PAGE, "title": "x" * 65}))),
        ("attachments[0].miniprogram.pic_media_id", campaign("t", MiniProgram(**{**PAGE, "pic_media_id": None}))),
        ("attachments[0].miniprogram.appid", campaign("t", MiniProgram(**{**PAGE, "appid": ""}))),
        ("attachments[0].miniprogram.page", campaign("t", MiniProgram(**{**PAGE, "page": ""}))),
        ("attachments[0].video.media_id", campaign("t", Video())),
        ("attachments[0].file.media_id", campaign("t", File())),
        ("text.content", campaign("half \ud800")),
        ("text.content", campaign("bell \x07")),
        ("body", {"type": "text", "body": {"content": "x"}}),
        ("body", {"type": "campaign", "body": None}),
        ("text", {"type": "campaign", "body": {"text": "hello", "attachments": [{"msgtype": "link", "link": LINK}]}}),
        ("attachments", {"type": "campaign", "body": {"text": {"content": "t"}, "attachments": ["image"]}}),
        ("sender", {"type": "raw", "body": {"text": {"content": "t"}, "sender": "x"}}),
        ("allow_select", {"type": "raw", "body": {"text": {"content": "t"}, "allow_select": 1}}),
    ],
)
def test_bodies_that_are_refused(field: str, document: dict[str, Any]):
    """Each for the field that is wrong, and for nothing else."""
    assert [field] == fields(message=document)


def test_every_wrong_field_is_named_at_once():
    """The vendor's 40058 would name none of them."""
    document = campaign("x" * 4001, Link(title="", url=""), Video())

    assert fields(message=document) == [
        "text.content",
        "attachments[0].link.title",
        "attachments[0].link.url",
        "attachments[1].video.media_id",
    ]


@pytest.mark.parametrize(
    ("field", "to", "document"),
    [
        ("to", To("lihua"), campaign()),
        ("external_userid", Recipients(), campaign()),
        ("external_userid", Customers({"lihua": []}), campaign()),
        ("external_userid", Customers({"lihua": ["w"]}), campaign()),
        ("external_userid", Customers({"lihua": ["wm 1"]}), campaign()),
        ("external_userid", Customers({"lihua": ["wmA", "wma"]}), campaign()),
        ("chat_id_list", CustomerGroups({"lihua": ["wr1!"]}), campaign()),
        ("sender", Customers({"li hua": ["wm1"]}), campaign()),
        ("to", AppChat("wr1"), campaign()),
        ("allow_select", CustomerGroups({"lihua": ["wr1"]}), campaign(allow_select=False)),
        ("tag_filter", Customers({"lihua": ["wm1"]}), campaign(tag_filter={"group_list": [{"tag_list": ["et1"]}]})),
        ("tag_filter", CustomerGroups({"a": ["wr1"]}), campaign(tag_filter={"group_list": [{"tag_list": ["et1"]}]})),
        ("sender", Everyone(), campaign()),
        ("tag_filter.group_list", Customers({"lihua": Everyone()}), campaign(tag_filter={"group_list": []})),
        (
            "tag_filter.group_list[0].tag_list",
            Everyone(),
            campaign(tag_filter={"group_list": [{"tag_list": ["et"] * 101}]}),
        ),
    ],
)
def test_recipients_that_are_refused(field: str, to: Recipients, document: dict[str, Any]):
    """Nobody, strangers to this channel, malformed ids, choices that the vendor would ignore in silence, and a filter
    without tags, which might be for all.
    """
    assert {field} == {one.split(" ")[0] for one in fields(message=document, to=to, account=OPEN)}


@pytest.mark.parametrize(
    ("to", "document"),
    [
        (Customers({"lihua": Everyone()}), campaign()),
        (CustomerGroups({"lihua": Everyone()}), campaign()),
        (Everyone(), campaign(tag_filter={"group_list": [{"tag_list": ["et1"]}, {"tag_list": ["et2", "et3"]}]})),
    ],
)
def test_all_of_a_member_needs_an_account_that_allows_it(to: Recipients, document: dict[str, Any]):
    """Only by an explicit Everyone(), and only there."""
    assert fields(message=document, to=to) == ["sender"]
    assert fields(message=document, to=to, account=OPEN) == []


def test_files_of_a_campaign():
    """A file fills an empty place of its own upload type."""
    picture = {"upload_type": "image", "name": "a.png", "size": 10}
    url = {**picture, "upload_type": "uploadimg"}
    image, filled = {"msgtype": "image", "image": {}}, {"msgtype": "image", "image": {"media_id": "m"}}

    assert fields(message=attached(image, **{"attachments.0.image.media_id": picture})) == []
    assert fields(message=attached(image, **{"attachments.0.image.pic_url": url})) == []
    for path, file, entry in (
        ("attachments.0.image.pic_url", picture, image),
        ("attachments.0.image.media_id", url, image),
        ("attachments.0.image.media_id", picture, filled),
        ("attachments.1.image.media_id", picture, filled),
        ("attachments.0.video.media_id", picture, filled),
        ("attachments.0.image.media_id", {**picture, "size": 5}, image),
    ):
        assert path in fields(message=attached(entry, **{path: file}))


def test_typed_attachments_hold_files():
    """Where a media_id would stand, or a picture's URL; a link has none."""
    file = message.File(b"123456", "a.bin")
    made = Campaign(
        attachments=[
            Image(file=file),
            Image(file=file, as_url=True),
            Link(**LINK),
            MiniProgram(**{**PAGE, "pic_media_id": None}, file=file),
            Video(file=file),
            File(file=file),
        ]
    )

    assert {path: kind for path, (kind, _) in made.files().items()} == {
        "attachments.0.image.media_id": "image",
        "attachments.1.image.pic_url": "uploadimg",
        "attachments.3.miniprogram.pic_media_id": "image",
        "attachments.4.video.media_id": "video",
        "attachments.5.file.media_id": "file",
    }
    assert made.document()["body"]["attachments"][1] == {"msgtype": "image", "image": {}}


def test_attachments_in_the_vendors_shape():
    """A dict as the page shows it is read into its type; what is no attachment is refused without being shown."""
    made = Campaign(attachments=[{"msgtype": "link", "link": LINK}])

    assert Link(**LINK) == made.attachments[0]
    for wrong in ({"msgtype": "voice", "voice": {}}, {"media_id": "secret-id"}, "secret-id"):
        with pytest.raises(CheckFailed) as refused:
            Campaign(attachments=[wrong])
        assert "secret-id" not in str(refused.value)
    assert repr(Campaign(text="secret text")) == "Campaign()"


def test_raw_sends_what_is_not_modelled():
    """A new type of attachment passes when its object is there; what is modelled is checked as ever."""
    new = {"msgtype": "new", "new": {"field": 1}}

    assert fields(message=Raw(body={"attachments": [new]}).document()) == []
    assert fields(message=Raw(body={"attachments": [{"msgtype": "new"}]}).document()) == ["attachments[0]"]
    assert fields(message=Raw(body={"attachments": [{"msgtype": "link", "link": {"title": "t"}}]}).document()) == [
        "attachments[0].link.url"
    ]


def warned(**asked: Any) -> list[str]:
    """What a job is warned of."""
    return CHANNEL.warnings(draft(**asked))


def test_what_is_worth_a_warning():
    """A customer under two senders, customers without a sender, pictures by URL, names nobody knows."""
    twice = warned(to=Customers({"a": ["wm1", "wm2"], "b": ["wm2"]}))
    nobody = warned(to=Customers(["wm1"]))
    both = warned(message=campaign("t", Image(media_id="m", pic_url="http://p.qpic.cn/1")))
    picture = {"upload_type": "image", "name": "a.png", "size": 10}
    beside = {"msgtype": "image", "image": {"pic_url": "http://p.qpic.cn/1"}}
    uploaded = warned(message=attached(beside, **{"attachments.0.image.media_id": picture}))
    odd = warned(message=Raw(body={"text": {"content": "t", "bold": 1}, "colour": 2}).document())

    assert [said.partition(":")[0] for said in twice] == ["external_userid"]
    assert [said.partition(":")[0] for said in nobody] == ["sender"]
    assert [said.partition(":")[0] for said in both] == ["attachments[0].image.pic_url"] * 2
    assert both == uploaded
    assert {said.partition(":")[0] for said in odd} == {"colour", "text.bold"}


@pytest.mark.parametrize("kind", ["recall", "remind", "track", "upload"])
def test_only_a_send_is_for_somebody(kind: str):
    """Whatever is about a task takes no recipients."""
    document = {"type": kind, "files": {"media": {"upload_type": "file", "name": "a", "size": 9}}}

    assert CHANNEL.check(draft(document, kind=kind)) == []
    assert fields(message=document, kind=kind, to=Customers(["wm1"])) == ["recipients"]
    assert CHANNEL.warnings(draft(document, kind=kind)) == []


def test_uploads_are_checked():
    """A file there has to be, fit for its type."""
    assert fields(message={"type": "upload"}, kind="upload") == ["media"]
    small = {"media": {"upload_type": "file", "name": "a", "size": 5}}
    assert fields(message={"type": "upload", "files": small}, kind="upload") == ["media"]
    assert fields(kind="update_card") == ["kind"]


def test_account_keys():
    """corpid is required; an agentid may stand there."""
    assert CHANNEL.account_problems(account({"agentid": 1000002})) == []
    assert [problem.field for problem in CHANNEL.account_problems(account({"corpid": ""}))] == ["corpid"]


def test_too_long_is_truncated_where_that_was_asked_for():
    """Texts of people, with a note for each; nothing is split, for every piece would be a task to confirm."""
    document = campaign("x" * 4100, Link(title="字" * 50, desc="y" * 600, url="https://e.com/" + "z" * 3000))

    fitted, notes = CHANNEL.fit("send", document, account(), "truncate")

    assert fields(message=fitted) == ["attachments[0].link.url"]
    assert fitted["body"]["text"]["content"] == "x" * 3997 + "…"
    assert notes == [
        "text.content: truncated from 4100 to 4000 bytes",
        "attachments[0].link.title: truncated from 150 to 126 bytes",
        "attachments[0].link.desc: truncated from 600 to 512 bytes",
    ]
    assert (document, []) == CHANNEL.fit("send", document, account(), "split")
    assert (document, []) == CHANNEL.fit("send", document, account(), "refuse")
