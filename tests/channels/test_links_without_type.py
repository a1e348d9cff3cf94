"""A card's link works by its `type` alone: a target without one is ignored by the vendor, so it brings a warning."""

from __future__ import annotations

from typing import Any

import pytest
import wecom_app_samples
import wecom_webhook_samples

from worker import File, TextNoticeCard, To, webhook
from worker.domain.content.recipient import Recipients
from worker.domain.job import Draft
from worker.language import translate

LINK = {"type": 1, "url": "https://a.example/"}
FILE = File(b"figures", "df.txt")
CHANNELS = [
    (wecom_app_samples.CHANNEL, wecom_app_samples.account(), TextNoticeCard, To("lihua")),
    (wecom_webhook_samples.CHANNEL, wecom_webhook_samples.account("robot"), webhook.TextNoticeCard, Recipients()),
]


def warned(channel: Any, account: Any, made: Any, to: Recipients, **fields: Any) -> list[str]:
    """The warnings of a card with these fields, whose files have been read."""
    card = made(main_title={"title": "t"}, card_action=LINK, **fields)
    files = {
        path: {"upload_type": kind, "name": file.name, "size": 7, "sha256": "0" * 64}
        for path, (kind, file) in card.files().items()
    }
    draft = Draft("send", account, {**card.document(), **({"files": files} if files else {})}, to)
    assert channel.check(draft) == []
    found: list[str] = channel.warnings(draft)
    return found


@pytest.mark.parametrize("channel", CHANNELS, ids=["app", "webhook"])
@pytest.mark.parametrize(
    ("fields", "path", "wanted"),
    [
        ({"quote_area": {"url": "https://q.example/", "title": "t"}}, "quote_area.url", 1),
        ({"quote_area": {"type": 0, "appid": "wx1", "title": "t"}}, "quote_area.appid", 2),
        ({"jump_list": [LINK | {"title": "t"}, {"title": "t", "url": "https://q.example/"}]}, "jump_list[1].url", 1),
        ({"horizontal_content_list": [{"keyname": "k", "userid": "lihua"}]}, "horizontal_content_list[0].userid", 3),
        ({"horizontal_content_list": [{"keyname": "k", "file": FILE}]}, "horizontal_content_list[0].media_id", 2),
    ],
)
def test_a_target_whose_type_was_forgotten(channel: Any, fields: dict[str, Any], path: str, wanted: int) -> None:
    """0或不填代表没有点击事件: members would see a card that leads nowhere, and nobody would hear of it."""
    said = f"template_card.{path}: the vendor ignores it without type = {wanted}"

    assert [said] == warned(*channel, **fields)
    assert said != translate(said, "zh")


@pytest.mark.parametrize("channel", CHANNELS, ids=["app", "webhook"])
def test_other_targets_beside_a_type(channel: Any) -> None:
    """The vendor's own samples have a url and a mini program in one link, and SDKs write empty texts."""
    assert warned(*channel, quote_area=LINK | {"appid": "wx1", "pagepath": "p", "title": "t"}, jump_list=[]) == []
    assert warned(*channel, quote_area={"type": 0, "url": "", "appid": "", "title": "t"}) == []
