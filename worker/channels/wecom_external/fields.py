"""The vendor's field tables as rows of data: what is required, how long, how many, and which errcode it would be.

Source: page 92135 (创建企业群发, read 2026-02-12). Bytes are of the UTF-8 text. None of the pages lists codes per call:
they are those of the global list (page 90313) that name such a fault.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from worker.channels.checking.foreign import OFF, Foreign
from worker.channels.checking.row import Either, FieldRule, Prose, Row

R = FieldRule
URL_BYTES = 2048


def _media(name: str, kind: str) -> FieldRule:
    return R(name, required=True, media=kind, missing=41006)


ATTACHMENTS: Mapping[str, tuple[Row, ...]] = {
    "image": (R("media_id", media="image"), R("pic_url", link=True), Either(("media_id", "pic_url"), 41006)),
    "link": (
        R("title", required=True, max_bytes=128, code=40058, prose=Prose.PLAIN),
        R("picurl", max_bytes=URL_BYTES, code=40058),
        R("desc", max_bytes=512, code=40058, prose=Prose.PLAIN),
        R("url", required=True, max_bytes=URL_BYTES, link=True, code=40058),
    ),
    "miniprogram": (
        R("title", required=True, max_bytes=64, code=40058, prose=Prose.PLAIN),
        _media("pic_media_id", "image"),
        R("appid", required=True, missing=40058, code=90207, more=(90206, 90208)),
        R("page", required=True, code=40058),
    ),
    "video": (_media("media_id", "video"),),
    "file": (_media("media_id", "file"),),
}
"""Rows of an attachment's own object, by msgtype. A type not listed goes out as it is (`Raw`)."""


def _own(msgtype: str, row: Row) -> Row:
    """A row of a type's own object as a row of the whole body."""
    at = f"attachments[].{msgtype}"
    return replace(row, path=f"{at}.{row.path}") if isinstance(row, FieldRule) else replace(row, at=at)


BODY: tuple[Row, ...] = (
    R("text", dict, code=40058),
    R("text.content", max_bytes=4000, code=40058, prose=Prose.PLAIN),
    R("attachments", list, entries=(0, 9), code=41064),
    Either(("text.content", "attachments"), 40058),
    R("allow_select", bool, code=40058),
    R("tag_filter", dict, code=40058),
    R("tag_filter.group_list", list, required=True, code=40058),
    R(
        "tag_filter.group_list[].tag_list",
        list,
        required=True,
        entries=(1, 100),
        strings=True,
        code=40058,
        more=(40068,),
    ),
    *(_own(msgtype, row) for msgtype, rows in ATTACHMENTS.items() for row in rows),
)
"""The whole body, beside chat_type, sender and recipients, which the worker sets."""

OURS = frozenset({"chat_type", "external_userid", "chat_id_list", "sender"})
"""Fields only the worker sets."""

FOREIGN = (
    *(
        Foreign(name, ({},), f'hang it on: attachments=[{{"msgtype": "{name}", "{name}": {{...}}}}]')
        for name in ATTACHMENTS
    ),
    Foreign("msgtype", ("", "text"), "leave it out: only an attachment has a type"),
    Foreign("safe", OFF, "leave it out: what customers get cannot be protected"),
)
"""Fields of the body from before attachments (2021), and fields that SDKs of applications write."""

MOST_CUSTOMERS = 10_000
MOST_GROUPS = 2000
"""Recipients of one call (page 92135): each slice is a part, with a task, a cap and reminders of its own."""
