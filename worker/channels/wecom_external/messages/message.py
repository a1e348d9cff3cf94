"""A campaign (企业群发): what members are asked to send to their customers or customer groups. Page 92135.

It only holds and lays out values; `checks/job.py` says what is wrong with it, all at once. A `repr` or a validation
error never shows a value: what stands here is message text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field, InstanceOf

from worker.channels.typed import VendorMessage, VendorObject
from worker.channels.wecom_external.messages.attachments import AnyAttachment
from worker.domain.content import message


class TagGroup(VendorObject):
    """Tags of which a customer has to have one."""

    tag_list: list[str]
    """1 to 100 ids of corp tags or of rule-group tags."""


class TagFilter(VendorObject):
    """Which of a member's customers: those who have a tag of every group."""

    group_list: list[TagGroup]
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
        """See `Message.document`; what was not given is left out."""
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
        return dict(self._attached())

    def _attached(self) -> Iterator[tuple[str, tuple[str, message.File]]]:
        for i, one in enumerate(self.attachments):
            file, place = getattr(one, "file", None), one.upload()
            if file is not None and place is not None:
                field, upload_type = place
                yield f"attachments.{i}.{one.msgtype}.{field}", (upload_type, file)


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
