"""What the body of each message type must hold (90236 发送应用消息), as a table.

Refuses to know envelopes and recipients; cards have a table of their own.
"""

from dataclasses import dataclass

from worker.simulator.answers import Refused
from worker.simulator.request import Json
from worker.simulator.wecom_app.validation import CUT, Chinese, Findings, Items, Media, Rule, Text


@dataclass(frozen=True, slots=True)
class ArticleTarget:
    """An article leads to a url, or to a mini program by appid and pagepath together; then the url is ignored."""

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the target."""
        appid, page = body.get("appid"), body.get("pagepath")
        if bool(appid) != bool(page):
            raise Refused(found.codes.article_appid)
        if not appid:
            URL.check(body, path, found)


@dataclass(frozen=True, slots=True)
class NoticeItem:
    """A pair of a mini-program notice: ignored when both are empty, else a key is needed (90202)."""

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check one pair."""
        if body.get("key") or body.get("value"):
            Chinese("key", most=10, over=90202, missing=90202).check(body, path, found)
            Chinese("value", most=30, over=90203).check(body, path, found)


URL = Text("url", missing=41010, limit=2048, over="url_too_long", scheme=True)

NEWS_ARTICLE: tuple[Rule, ...] = (
    Text("title", missing=41016, limit=128, over=CUT),
    Text("description", limit=512, over=CUT),
    Text("picurl", limit=2048, over="url_too_long"),
    Text("pagepath", limit=128),
    ArticleTarget(),
)

MPNEWS_ARTICLE: tuple[Rule, ...] = (
    Text("title", missing=41016, limit=128, over=CUT),
    Media("thumb_media_id", "image"),
    Text("author", limit=64, over=45032),
    Text("content", missing=44004, limit=666 * 1024, over=45002),
    Text("digest", limit=512, over=CUT),
)

BODY_RULES: dict[str, tuple[Rule, ...]] = {
    "text": (Text("content", missing=44004, limit=2048, over=CUT),),
    "image": (Media("media_id", "image"),),
    "voice": (Media("media_id", "voice"),),
    "video": (
        Media("media_id", "video"),
        Text("title", limit=128, over=CUT),
        Text("description", limit=512, over=CUT),
    ),
    "file": (Media("media_id", "file"),),
    "textcard": (
        Text("title", missing=41016, limit=128, over=CUT, unit="textcard"),
        Text("description", missing=41033, limit=512, over=CUT, unit="textcard"),
        URL,
        Text("btntxt", limit=4, over=CUT, unit="chars"),
    ),
    "news": (Items("articles", 8, 45008, NEWS_ARTICLE, missing=40058),),
    "mpnews": (Items("articles", 8, 45008, MPNEWS_ARTICLE, missing=40058),),
    "markdown": (Text("content", missing=44004, limit=2048, over=45002),),
    "miniprogram_notice": (
        Text("appid", missing=90200),
        Text("page", limit=1024, over=90204),
        Chinese("title", least=4, most=12, over=40058, missing=41016),
        Chinese("description", least=4, most=12, over=40058),
        Items("content_item", 10, 90201, (NoticeItem(),)),
    ),
}
