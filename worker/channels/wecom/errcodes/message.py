"""Codes about the message, its recipients, its files or an earlier message: the call can never pass as it is."""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.wecom.errcodes.row import Class, Errcode, coded, refused

_RECIPIENT = "correct the recipients"
_MESSAGE = "correct the message"
_CARD = "correct the card"
_RECIPIENTS: Mapping[int, str] = {
    40003: "bad userid",
    40031: "the list of userids has unknown ids",
    40032: "more than 1000 userids",
    40066: "bad list of departments",
    40068: "bad tag id",
    40070: "every tag is invalid",
    46004: "the user does not exist",
    50002: "a member is out of the permission range",
    60003: "the department does not exist",
    60021: "a user is outside the visible range",
    60111: "the userid does not exist",
    60123: "the department does not exist",
    81012: "no recipient scope given",
    81013: "every recipient is unknown, invisible or without a licence",
    82001: "users, departments and tags are all empty",
    82002: "more than 100 departments",
    82003: "more than 100 tags",
    92000: "a user is outside the visible range",
}
_TARGETS: Mapping[int, str] = {
    82101: "the update has no target",
    82102: "a target of the update did not get the message",
}
_MEDIA: Mapping[int, str] = {
    40004: "bad media file type",
    40005: "bad upload type",
    40006: "bad file size",
    40007: "bad media_id: unknown, older than 3 days, or of another kind",
    40009: "bad image size",
    40011: "bad video size",
    40123: "broken image",
    40145: "the media_id is expired",
    40146: "bad Range header",
    41006: "media_id missing",
    41090: "the video is no valid MP4",
    44001: "empty multipart file",
    45001: "the media is too large",
    45007: "the voice is longer than 60 s",
    301015: "bad media id",
    301016: "voice could not be read",
    301017: "the voice is not AMR",
    301019: "md5 does not match",
    830001: "bad url of a file",
    830002: "the file is too large to download at once",
}
_CONTENT: Mapping[int, str] = {
    40008: "bad msgtype",
    40033: "illegal characters (escapes)",
    40035: "bad parameter",
    40039: "url too long",
    40058: "bad parameter (JSON, length, array size, empty field, or another app's msgid)",
    40063: "a parameter is empty",
    40074: "news does not support safe",
    40094: "bad url",
    40127: "uri scheme not supported",
    40206: "the request body is too large",
    41010: "url missing",
    41011: "agentid missing",
    41016: "title missing",
    41033: "description missing",
    44002: "empty POST",
    44003: "empty news",
    44004: "text content empty",
    45002: "content too large",
    45004: "description too long",
    45008: "more than 8 articles",
    45022: "name too long",
    45032: "mpnews author over 64 bytes",
    45034: "url without scheme",
    90200: "mini program notice: appid missing",
    90201: "mini program notice: too many items",
    90202: "mini program notice: bad key",
    90203: "mini program notice: bad value",
    90204: "mini program notice: bad page",
    90207: "mini program notice: bad appid",
}
_JUDGED: Mapping[int, str] = {
    40201: "blocked by anti-spam",
    40204: "blocked by anti-spam",
    82004: "content that could crash clients",
    84200: "id translation failed",
    85002: "forbidden words",
}
"""Codes about the content too, but by rules of the vendor's that change, or by what else was sent."""
_FOLLOW_UPS: Mapping[int, tuple[str, str]] = {
    42014: (
        "task_id exists, is empty, too long or illegal",
        "give another task_id; after an unanswered call of ours it means that the card was taken",
    ),
    42015: (
        "the card was sent by another app",
        "use the app that sent it",
    ),
    42016: ("the task_id to update is unknown", "send a new card"),
    42052: (
        "the msgid is older than 24 h",
        "send a correction: it cannot be recalled any more",
    ),
    60140: (
        "the response_code is used, expired or foreign",
        "never again with this code: wait for a click, which brings another, or send a new card",
    ),
}
_CARDS: Mapping[int, str] = {
    42017: "task card: button key unknown",
    42018: "task card: bad button",
    42019: "task card: bad button",
    42020: "task card: bad button name",
    42027: "card: keyname",
    42028: "card: url",
    42030: "card: appid",
    42031: "card: card_type",
    42033: "card: title",
    42035: "card: length of horizontal_content_list",
    42036: "card: length of vertical_content_list",
    42037: "card: length of option_list",
    42038: "card: button text",
    42039: "card: button key",
    42040: "card: option id",
    42041: "card: option text",
    42042: "card: length of jump_list",
    42043: "card: question_key",
    42044: "card: card_image.url",
    42045: "card: card_action",
    42046: "card: key of the submit button",
    42047: "card: length of select_list",
    42049: "card: text of the submit button",
    42050: "card: userid of horizontal_content_list",
    42051: "card: action keys clash",
}

ROWS: tuple[Errcode, ...] = (
    *refused(_RECIPIENTS, _RECIPIENT, lasting=True),
    *refused(_TARGETS, _RECIPIENT),
    *refused(_MEDIA, "upload a proper file"),
    *refused(_CONTENT, _MESSAGE, lasting=True),
    *refused(_JUDGED, _MESSAGE),
    *coded(Class.PERMANENT, _FOLLOW_UPS),
    *refused(_CARDS, _CARD, lasting=True),
    *refused({42029: "card: media_id"}, _CARD),
)
