"""A campaign (企业群发): what members are asked to send to their customers or customer groups. Page 92135.

What hangs on it are images, links, mini programs, videos and files; a customer gets the text and each attachment as a
message of its own. None of the pages lists codes per call: they are those of the global list (page 90313) that name
such a fault. The types only hold and lay out values; `check.py` says what is wrong with them, all at once. A
`repr` or a validation error never shows a value: what stands here is message text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, InstanceOf, ValidationError

from worker.channels.checking.row import AnyOf, FieldRule, Prose, R, Row
from worker.channels.reading import (
    is_without_effect,
    left_out,
    object_of,
    refuse_misplaced_fields,
    text_in,
    unknown_type,
    validated,
)
from worker.channels.typed import NO_FILE, Attached, VendorMessage, VendorObject, problems_of, rows_of
from worker.domain.content import message
from worker.domain.content.message import Message
from worker.domain.content.recipient import CustomerGroups, Customers, Everyone, Recipients
from worker.domain.errors import CheckFailed, Problem

__all__ = [
    "Attachment",
    "Campaign",
    "File",
    "Image",
    "Link",
    "MiniProgram",
    "Raw",
    "TagFilter",
    "TagGroup",
    "Video",
    "message_from_json",
    "message_to_json",
    "recipients_from_json",
]


URL_BYTES = 2048


def _media(kind: str) -> FieldRule:
    return R(required=True, media=kind, missing=41006)


def _text(most: int) -> FieldRule:
    return R(max_bytes=most, code=40058, prose=Prose.PLAIN)


class Attachment(VendorObject):
    """Base of the five."""

    msgtype: ClassVar[str]
    """The vendor's name of the type; the object of its fields stands under the same name."""

    def document(self) -> dict[str, Any]:
        """Returns the entry of `attachments`. Fields without a value are left out."""
        out = self.model_dump(mode="json", exclude_none=True, exclude=set(self.OPTIONS))
        return {"msgtype": self.msgtype, self.msgtype: out}

    def upload(self) -> tuple[str, str] | None:
        """The field that a `file` beside it fills, and the upload type of that file."""
        return self.UPLOADED


class Image(Attachment):
    """A picture: a `media_id` of the corp, the `pic_url` of an `uploadimg` upload, or a file to upload first.

    One of the three; of `media_id` and `pic_url` together the vendor takes `media_id`. None: an error.
    """

    msgtype: ClassVar[str] = "image"
    OPTIONS: ClassVar[tuple[str, ...]] = ("as_url",)
    ROWS: ClassVar[tuple[Row, ...]] = (AnyOf(("media_id", "pic_url"), 41006),)

    media_id: Annotated[str | None, R(media="image")] = None
    """Of an `image` upload, at most 3 days old (90253). Unknown, old or of another kind: 40007."""
    pic_url: Annotated[str | None, R(link=True, media="uploadimg")] = None
    """Of an `uploadimg` upload (90256), and of nothing else; it never ends."""
    file: Attached | None = NO_FILE
    """JPG or PNG, more than 5 bytes, at most 10 MB (90253); with `as_url` at most 2 MB (90256)."""
    as_url: bool = False
    """Uploads the file by `uploadimg` and fills `pic_url`: for a picture that many campaigns show; 1000 uploads a day,
    3000 a month per corp."""

    def upload(self) -> tuple[str, str] | None:
        """See `Attachment.upload`."""
        return ("pic_url", "uploadimg") if self.as_url else ("media_id", "image")


class Link(Attachment):
    """A link with title and picture."""

    msgtype: ClassVar[str] = "link"

    title: Annotated[str, _text(128)]
    """Required. At most 128 bytes (40058)."""
    picurl: Annotated[str | None, R(max_bytes=URL_BYTES, code=40058)] = None
    """The cover's address. At most 2048 bytes (40058)."""
    desc: Annotated[str | None, _text(512)] = None
    """At most 512 bytes (40058)."""
    url: Annotated[str, R(max_bytes=URL_BYTES, link=True, code=40058)]
    """Required. At most 2048 bytes (40058), with http:// or https:// (40094, 45034)."""


class MiniProgram(Attachment):
    """A page of a mini program that is linked to the corp."""

    msgtype: ClassVar[str] = "miniprogram"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("pic_media_id", "image")

    title: Annotated[str, _text(64)]
    """Required. At most 64 bytes (40058)."""
    pic_media_id: Annotated[str | None, _media("image")] = None
    """The cover, 520×416 advised: of an `image` upload, at most 3 days old (40007). Required, or a file (41006)."""
    file: Attached | None = NO_FILE
    """The cover: JPG or PNG, more than 5 bytes, at most 10 MB (90253)."""
    appid: Annotated[str, R(missing=40058, code=90207, more=(90206, 90208))]
    """Required. Of a mini program linked to the corp (90206, 90207, 90208)."""
    page: Annotated[str, R(code=40058)]
    """Required. The page that opens (40058)."""


class Video(Attachment):
    """A video."""

    msgtype: ClassVar[str] = "video"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "video")

    media_id: Annotated[str | None, _media("video")] = None
    """Of a `video` upload, at most 3 days old. Required, or a file (41006); unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """MP4, more than 5 bytes, at most 10 MB (90253)."""


class File(Attachment):
    """A file; customers see the name it was uploaded under."""

    msgtype: ClassVar[str] = "file"
    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "file")

    media_id: Annotated[str | None, _media("file")] = None
    """Of a `file` upload, at most 3 days old. Required, or a file (41006); unknown, old or of another kind: 40007."""
    file: Attached | None = NO_FILE
    """Any format, more than 5 bytes, at most 20 MB (90253)."""


ATTACHMENTS: Mapping[str, type[Attachment]] = {one.msgtype: one for one in (Image, Link, MiniProgram, Video, File)}
"""By msgtype."""


def _typed(value: Any) -> Any:
    """An entry of the vendor's JSON as its type; whatever else is left for the model to refuse."""
    if not isinstance(value, Mapping):
        return value
    made = ATTACHMENTS.get(str(value.get("msgtype")))
    own = None if made is None else value.get(made.msgtype)
    if made is None or not isinstance(own, Mapping):
        return value
    others = value.keys() - {"msgtype", made.msgtype}
    if foreign := sorted(str(name) for name in others if not is_without_effect(value[name])):
        raise ValueError("; ".join(f"{name}: {made.msgtype} has no such field here" for name in foreign))
    try:
        return made.model_validate(dict(own))
    except ValidationError as error:
        problems = problems_of(error, made, made.msgtype)
    # A ValueError is collected by the model, which goes on and names what is wrong elsewhere too.
    raise ValueError("; ".join(f"{one.field}: {one.text}" for one in problems))


AnyAttachment = Annotated[InstanceOf[Attachment], BeforeValidator(_typed)]
"""One of the five, or an entry as the vendor's page shows it: `{"msgtype": "link", "link": {...}}`."""


class TagGroup(VendorObject):
    """Tags of which a customer has to have one."""

    tag_list: Annotated[list[str], R(entries=(1, 100), code=40058, more=(40068,))]
    """1 to 100 ids of corp tags or of rule-group tags."""


class TagFilter(VendorObject):
    """Which of a member's customers: those who have a tag of every group."""

    # An empty list might be for all of the member's customers. The largest number is not published.
    group_list: Annotated[list[TagGroup], R(entries=(1, 100), code=40058)]
    """Every one has to hold."""


class Campaign(VendorMessage):
    """A group send: text, attachments or both. Nothing reaches a customer before a member confirms it in the client."""

    text: str | None = None
    """At most 4000 bytes of UTF-8 (40058)."""
    attachments: list[AnyAttachment] = Field(default_factory=list)
    """At most 9 (41064); each arrives as a message of its own."""
    allow_select: bool | None = None
    """True lets the member change who gets it before sending; only for customers. By default they cannot."""
    tag_filter: TagFilter | None = None
    """Only customers with these tags; ignored by the vendor where customers are named, so refused there."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`. Fields without a value are left out."""
        body: dict[str, Any] = {}
        if self.text is not None:
            body["text"] = {"content": self.text}
        if self.attachments:
            body["attachments"] = [one.document() for one in self.attachments]
        if self.allow_select is not None:
            body["allow_select"] = self.allow_select
        if self.tag_filter is not None:
            body["tag_filter"] = self.tag_filter.model_dump(mode="json")
        return {"type": "campaign", "body": body}

    def files(self) -> Mapping[str, tuple[str, message.File]]:
        """See `Message.files`."""
        found: dict[str, tuple[str, message.File]] = {}
        for i, one in enumerate(self.attachments):
            file, place = getattr(one, "file", None), one.upload()
            if file is not None and place is not None:
                field, upload_type = place
                found[f"attachments.{i}.{one.msgtype}.{field}"] = (upload_type, file)
        return found


class Raw(VendorMessage):
    """A campaign with what we do not model: the fields of page 92135 besides recipients and sender."""

    body: dict[str, Any]
    """Such as `{"text": {"content": "..."}, "attachments": [{"msgtype": "new", "new": {...}}]}`."""
    attached: dict[str, tuple[str, InstanceOf[message.File]]] = Field(default_factory=dict, alias="files")
    """`files=`: body path (`attachments.0.new.media_id`) -> (upload type, file)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": "raw", "body": dict(self.body)}

    def files(self) -> Mapping[str, tuple[str, message.File]]:
        """See `Message.files`."""
        return self.attached


BODY: tuple[Row, ...] = (
    R("text", dict, code=40058),
    R("text.content", max_bytes=4000, code=40058, prose=Prose.PLAIN),
    R("attachments", list, entries=(0, 9), code=41064),
    AnyOf(("text.content", "attachments"), 40058),
    R("allow_select", bool, code=40058),
    R("tag_filter", dict, code=40058),
    *rows_of(TagFilter, "tag_filter"),
    *(row for msgtype, made in ATTACHMENTS.items() for row in rows_of(made, f"attachments[].{msgtype}")),
)
"""The whole body, beside chat_type, sender and recipients, which the worker sets."""

OURS = frozenset({"chat_type", "external_userid", "chat_id_list", "sender"})
"""Fields only the worker sets."""


# -- the vendor's JSON -------------------------------------------------------------------------------------------------

FIELDS = frozenset({"text", "attachments", "allow_select", "tag_filter"})
RECIPIENTS = {"single": ("external_userid", "chat_id_list"), "group": ("chat_id_list", "external_userid")}
"""By chat_type, single unless given (page 92135): the list of its recipients, and the list that is not read."""


def message_from_json(data: str | bytes | Mapping[str, Any], *, raw: bool = False) -> Message:
    """The campaign of a body as the vendor's page shows it.

    An image, link or mini program beside the text, as the page showed it before 2021, is refused. A body with a field
    or a type of attachment that has no class here is refused, too, or with `raw=True` becomes `Raw`. A neutral value
    that other SDKs write (`"safe": 0`) is left out with a `UserWarning`. Files cannot stand in JSON; media_ids can.
    Raises CheckFailed, which says what does not fit.
    """
    body = {name: value for name, value in object_of(data).items() if name not in OURS}
    for name in body.keys() - FIELDS:
        if is_without_effect(body[name]) or (name, body[name]) == ("msgtype", "text"):
            left_out(name)
            del body[name]
        elif name in ATTACHMENTS:  # as the page showed it before 2021
            remedy = f'attach it: attachments=[{{"msgtype": "{name}", "{name}": {{...}}}}]'
            raise CheckFailed([Problem(name, "is not among the vendor's fields (any more)", remedy)])
    if raw and not _is_modelled(body):
        return Raw(body=body)
    fields = {name: value for name, value in body.items() if name not in ("text", "attachments")}
    if body.get("text") is not None:
        fields["text"] = _text_in(body["text"])
    fields["attachments"] = [_attachment(entry, i) for i, entry in enumerate(_attachments_in(body))]
    return validated(Campaign, fields, "campaign")


def message_to_json(message: Message) -> dict[str, Any]:
    """The body of a campaign as the vendor's page shows it, without sender and recipients."""
    return dict(message.document().get("body") or {})


def recipients_from_json(data: str | bytes | Mapping[str, Any]) -> Recipients:
    """The recipients of a body as the vendor's page shows it.

    A sender alone means all customers of that member, or the groups that the member will choose. With an empty list
    there are no recipients.
    """
    body = object_of(data)
    sender, chat_type = text_in(body, "sender"), text_in(body, "chat_type") or "single"
    if chat_type not in RECIPIENTS:
        raise CheckFailed([Problem("chat_type", "has no such value", f"use one of {', '.join(RECIPIENTS)}")])
    field, unread = RECIPIENTS[chat_type]
    if body.get(unread):
        raise CheckFailed([Problem(unread, "is not read with this chat_type", "leave it out, or change chat_type")])
    groups, ids = chat_type == "group", body.get(field) or []
    empty = body.get(field) == [] and not body.get("tag_filter")  # as a query leaves it that found none: not all
    if not isinstance(ids, list):
        raise CheckFailed([Problem(field, "is not a list", 'write ids as ["wm1", "wm2"]')])
    if groups and not sender:
        raise CheckFailed([Problem("sender", "is not given", "name the owner of the groups")])
    if sender:
        named = {sender: ids if ids or empty else Everyone()}
        return CustomerGroups(named) if groups else Customers(named)
    return Customers(ids) if ids else Everyone()


def _is_modelled(body: Mapping[str, Any]) -> bool:
    types = [entry.get("msgtype") if isinstance(entry, Mapping) else None for entry in _attachments_in(body)]
    return body.keys() <= FIELDS and all(one is None or str(one) in ATTACHMENTS for one in types)


def _attachments_in(body: Mapping[str, Any]) -> list[Any]:
    entries = body.get("attachments") or []
    if isinstance(entries, list):
        return entries
    raise CheckFailed([Problem("attachments", "is not a list", 'use [{"msgtype": "image", "image": {...}}]')])


def _text_in(holder: Any) -> Any:
    if isinstance(holder, Mapping) and holder.keys() <= {"content"}:
        return holder.get("content")
    raise CheckFailed([Problem("text", "is not an object with content", 'use {"content": "..."}')])


def _attachment(entry: Any, i: int) -> Any:
    msgtype = entry.get("msgtype") if isinstance(entry, Mapping) else None
    own = entry.get(msgtype) if isinstance(entry, Mapping) and isinstance(msgtype, str) else None
    if msgtype is None or not isinstance(own, Mapping):
        text = "has no object named like its msgtype (vendor code 40058)"
        raise CheckFailed([Problem(f"attachments[{i}]", text, "put the fields under the name of the type")])
    if msgtype not in ATTACHMENTS:
        raise unknown_type(f"attachments[{i}].msgtype", msgtype, ATTACHMENTS, 41065)
    others = {f"attachments[{i}].{name}": entry[name] for name in entry if name not in ("msgtype", msgtype)}
    refuse_misplaced_fields(ATTACHMENTS[msgtype], msgtype, {}, others)
    return validated(ATTACHMENTS[msgtype], own, f"attachments[{i}].{msgtype}")
