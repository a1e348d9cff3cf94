"""The content of every message type of message/send (90236) and appchat/send (90248), except cards."""

from dataclasses import dataclass

from worker_simulator.request import Json
from worker_simulator.wecom_app.rules.findings import Findings
from worker_simulator.wecom_app.rules.nested import Items, Table
from worker_simulator.wecom_app.rules.texts import CUT, Chinese, TextRule
from worker_simulator.wecom_app.rules.values import Appid, Flag, MediaRule, Userids


@dataclass(frozen=True, slots=True)
class ArticleTarget:
    """An article links to a URL, or to a mini program by appid and pagepath; then the URL is ignored."""

    names: tuple[str, ...] = ("url", "appid", "pagepath")

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Check the target."""
        PAGEPATH.check(body, path, findings)
        appid, page = body.get("appid"), body.get("pagepath")
        if bool(appid) != bool(page):
            findings.refuse("article_appid")
        if appid:
            Appid().check(body, path, findings)
        else:
            URL.check(body, path, findings)


@dataclass(frozen=True, slots=True)
class NoticePair:
    """A pair of a mini-program notice. It is ignored if empty; a value without a key is refused by a setting."""

    names: tuple[str, ...] = ("key", "value")

    def check(self, body: Json, path: str, findings: Findings) -> None:
        """Check one pair."""
        missing = "notice_key" if body.get("value") else 0
        Chinese("key", limit=10, over=90202, missing=missing).check(body, path, findings)
        Chinese("value", limit=30, over=90203, translated=True).check(body, path, findings)


URL = TextRule("url", missing=41010, limit=2048, over="url_too_long", scheme=True)
PAGEPATH = TextRule("pagepath", limit=128)


def textcard(unit: str) -> Table:
    """Returns the table of a textcard. Its limits are in characters (2026) or in bytes (before, and in chats)."""
    return Table(
        TextRule("title", missing=41016, limit=128, over=CUT, unit=unit, translated=True),
        TextRule("description", missing=41033, limit=512, over=CUT, unit=unit, translated=True),
        URL,
        TextRule("btntxt", limit=4, over=CUT, unit="chars"),
    )


def news(target: ArticleTarget | TextRule) -> Table:
    """Returns the table of news. Articles link to what the call allows."""
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
"""Message types that are the same in both calls."""

TO_MEMBERS: dict[str, Table] = {
    **SHARED,
    "text": Table(CONTENT),
    "textcard": textcard("textcard"),
    "news": news(ArticleTarget()),
    "miniprogram_notice": Table(
        Appid(missing=90200),
        TextRule("page", limit=1024, over=90204),
        Chinese("title", minimum=4, limit=12, over=40058, missing=41016, translated=True),
        Chinese("description", minimum=4, limit=12, over=40058, translated=True),
        Flag("emphasis_first_item"),
        Items("content_item", 10, 90201, Table(NoticePair())),
    ),
}
"""message/send, by msgtype. Cards have tables of their own."""

TO_CHATS: dict[str, Table] = {
    **SHARED,
    "text": Table(CONTENT, Userids("mentioned_list")),
    "textcard": textcard("bytes"),
    "news": news(URL),
}
"""appchat/send, by msgtype: no cards, no mini-program notices, and articles link to URLs."""
