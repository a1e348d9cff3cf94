"""The body of each plain message type of message/send (90236 发送应用消息) and of appchat/send (90248 应用推送消息).

Does not know envelopes and recipients; cards have tables of their own.
"""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.nested import Items, Table
from worker_simulator.wecom_app.rules.texts import CUT, Chinese, TextRule
from worker_simulator.wecom_app.rules.values import Appid, Flag, MediaRule, Userids


@dataclass(frozen=True, slots=True)
class ArticleTarget:
    """An article leads to a url, or to a mini program by appid and pagepath together; then the url is ignored."""

    names: tuple[str, ...] = ("url", "appid", "pagepath")

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check the target."""
        PAGEPATH.check(body, path, found)
        appid, page = body.get("appid"), body.get("pagepath")
        if bool(appid) != bool(page):
            found.refuse("article_appid")
        if appid:
            Appid().check(body, path, found)
        else:
            URL.check(body, path, found)


@dataclass(frozen=True, slots=True)
class NoticePair:
    """A pair of a mini-program notice: ignored when both are empty; a value without a key is refused by a setting."""

    names: tuple[str, ...] = ("key", "value")

    def check(self, body: Json, path: str, found: Findings) -> None:
        """Check one pair."""
        missing = "notice_key" if body.get("value") else 0
        Chinese("key", most=10, over=90202, missing=missing).check(body, path, found)
        Chinese("value", most=30, over=90203, translated=True).check(body, path, found)


URL = TextRule("url", missing=41010, limit=2048, over="url_too_long", scheme=True)
PAGEPATH = TextRule("pagepath", limit=128)


def textcard(unit: str) -> Table:
    """The table of a textcard; its limits are stated in characters (2026) or bytes (before, and for chats)."""
    return Table(
        TextRule("title", missing=41016, limit=128, over=CUT, unit=unit, translated=True),
        TextRule("description", missing=41033, limit=512, over=CUT, unit=unit, translated=True),
        URL,
        TextRule("btntxt", limit=4, over=CUT, unit="chars"),
    )


def news(target: ArticleTarget | TextRule) -> Table:
    """The table of news, whose articles lead to what the call allows."""
    article = Table(
        TextRule("title", missing=41016, limit=128, over=CUT, translated=True),
        TextRule("description", limit=512, over=CUT, translated=True),
        TextRule("picurl", limit=2048, over="url_too_long"),
        target,
    )
    return Table(Items("articles", 8, 45008, article, missing=40058))


MPNEWS_ARTICLE = Table(
    TextRule("title", missing=41016, limit=128, over=CUT, translated=True),
    MediaRule("thumb_media_id", "image"),
    TextRule("author", limit=64, over=45032),
    TextRule("content_source_url"),
    TextRule("content", missing=44004, limit=666 * 1024, over=45002, translated=True),
    TextRule("digest", limit=512, over=CUT, translated=True),
)
CONTENT = TextRule("content", missing=44004, limit=2048, over=CUT, translated=True)

SHARED: dict[str, Table] = {
    "image": Table(MediaRule("media_id", "image")),
    "voice": Table(MediaRule("media_id", "voice")),
    "video": Table(
        MediaRule("media_id", "video"),
        TextRule("title", limit=128, over=CUT),
        TextRule("description", limit=512, over=CUT),
    ),
    "file": Table(MediaRule("media_id", "file")),
    "mpnews": Table(Items("articles", 8, 45008, MPNEWS_ARTICLE, missing=40058)),
    "markdown": Table(TextRule("content", missing=44004, limit=2048, over=45002)),
}
"""The types whose tables are the same in both calls."""

TO_MEMBERS: dict[str, Table] = {
    **SHARED,
    "text": Table(CONTENT),
    "textcard": textcard("textcard"),
    "news": news(ArticleTarget()),
    "miniprogram_notice": Table(
        Appid(missing=90200),
        TextRule("page", limit=1024, over=90204),
        Chinese("title", least=4, most=12, over=40058, missing=41016, translated=True),
        Chinese("description", least=4, most=12, over=40058, translated=True),
        Flag("emphasis_first_item"),
        Items("content_item", 10, 90201, Table(NoticePair())),
    ),
}
"""message/send, by msgtype; cards have tables of their own."""

TO_CHATS: dict[str, Table] = {
    **SHARED,
    "text": Table(CONTENT, Userids("mentioned_list")),
    "textcard": textcard("bytes"),
    "news": news(URL),
}
"""appchat/send, by msgtype: no cards, no mini-program notices, and articles lead to a url."""
