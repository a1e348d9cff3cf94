"""The vendor's field table as rows of data: what is required, how long, how many, and which errcode it would be.

The rows stand with the fields of the messages. Source: page 92135 (创建企业群发, read 2026-02-12). Bytes are of the UTF-8
text.
"""

from __future__ import annotations

from collections.abc import Mapping

from worker.channels.checking.foreign import OFF, Foreign
from worker.channels.checking.row import Either, Prose, R, Row
from worker.channels.typed import rows_of
from worker.channels.wecom_external.messages import ATTACHMENTS as MODELS, TagFilter

ATTACHMENTS: Mapping[str, tuple[Row, ...]] = {msgtype: rows_of(made) for msgtype, made in MODELS.items()}
"""Rows of an attachment's own object, by msgtype. A type not listed goes out as it is (`Raw`)."""

BODY: tuple[Row, ...] = (
    R("text", dict, code=40058),
    R("text.content", max_bytes=4000, code=40058, prose=Prose.PLAIN),
    R("attachments", list, entries=(0, 9), code=41064),
    Either(("text.content", "attachments"), 40058),
    R("allow_select", bool, code=40058),
    R("tag_filter", dict, code=40058),
    *rows_of(TagFilter, "tag_filter"),
    *(row for msgtype, made in MODELS.items() for row in rows_of(made, f"attachments[].{msgtype}")),
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
