"""What SDKs write into bodies of message/send though its page does not list it, or lists it no more.

Seen in the SDKs themselves: WxJava writes `safe` as text, `thumb_media_id` and `mpnews.media_id`, others every switch
beside every type. The old fields stood on the page of the enterprise account (企业号), before 2018.
"""

from __future__ import annotations

from collections.abc import Collection

from worker.channels.checking.foreign import OFF, Foreign

_PROTECTED = "leave it out: only text, image, video, file and mpnews can be kept from being shared"
_TRANSLATED = "leave it out: nothing of this type is translated"
_SWITCHES = (Foreign("safe", OFF, _PROTECTED), Foreign("enable_id_trans", OFF, _TRANSLATED))
"""For the types that do not list them."""
_OBSOLETE = (
    Foreign("video.thumb_media_id", ("",), "leave it out: the client shows a picture of the video itself"),
    Foreign("news.articles[].btntxt", ("",), "send a TextCard, which has a btntxt, or leave it out"),
    Foreign("mpnews.media_id", ("",), "give articles: a stored mpnews can be sent no more"),
    Foreign(
        "mpnews.articles[].show_cover_pic",
        OFF,
        "put the picture into content, by the URL of an uploadimg upload: the cover is shown in the list alone",
    ),
)


def foreign(listed: Collection[str]) -> tuple[Foreign, ...]:
    """The rows of a type that lists these fields beside its own object."""
    return (*(row for row in _SWITCHES if row.path not in listed), *_OBSOLETE)
