"""What all messages of WeCom application messages (企业微信 应用消息) share, and those without fields of their own.

They only hold and lay out values; `checks/job.py` says what is wrong with them, all at once. A `repr` or a validation
error of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, InstanceOf

from worker.channels.typed import VendorMessage, attached, can_hold_files, plain_value
from worker.domain.content.message import File


class PlainMessage(VendorMessage):
    """Base of the messages whose repeat is made safe by the vendor's duplicate check."""

    msgtype: ClassVar[str]
    """The vendor's name of the type."""
    ENVELOPE: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the type's own object."""

    duplicate_check: bool = True
    """On: an unanswered call is repeated inside the interval. Off: it is held. (90236)"""
    duplicate_check_interval: int = 14400
    """Seconds the vendor looks back for an equal body: 1 to 14400, its maximum of 4 h. (90236)"""

    def options(self) -> dict[str, Any]:
        """The worker's own options of a send; never part of the vendor's body."""
        out: dict[str, Any] = {"duplicate_check": self.duplicate_check}
        if self.duplicate_check_interval != 14400:
            out["duplicate_check_interval"] = self.duplicate_check_interval
        return out

    def document(self) -> dict[str, Any]:
        """See `Message.document`; what was not given is left out."""
        content: dict[str, Any] = {}
        body: dict[str, Any] = {self.msgtype: content}
        for name, value in self.__dict__.items():
            if value is not None and name not in _OURS:
                (body if name in self.ENVELOPE else content)[name] = plain_value(value)
        return {"type": self.msgtype, "body": body, "options": self.options()}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, self.msgtype)) if can_hold_files(type(self)) else {}


_OURS = frozenset({"duplicate_check", "duplicate_check_interval", "file"})


class Raw(PlainMessage):
    """A vendor body we do not model: everything of page 90236 besides recipients, agentid and duplicate check."""

    msgtype: str  # type: ignore[misc]
    """The vendor's name of the type; `body` has an object under the same name. Unknown: 40008."""
    body: dict[str, Any]
    """The fields beside the recipients, such as `{"markdown": {"content": "..."}}`."""
    attachments: dict[str, tuple[str, InstanceOf[File]]] = Field(default_factory=dict, alias="files")
    """`files=`: body path (`mpnews.articles.0.thumb_media_id`) -> (upload type, file)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": dict(self.body), "options": self.options()}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return self.attachments
