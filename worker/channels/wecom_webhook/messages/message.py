"""What all messages of a WeCom webhook (企业微信 消息推送, 群机器人) share, and those without fields of their own.

They only hold and lay out values; `checks/job.py` says what is wrong with them, all at once. A `repr` or a validation
error of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, InstanceOf

from worker.channels.typed import VendorMessage, attached, can_hold_files, plain_value
from worker.domain.content.message import File


class WebhookMessage(VendorMessage):
    """Base of the messages a webhook posts. The vendor gives no msgid: none can be recalled, updated or asked about."""

    msgtype: ClassVar[str]
    """The vendor's name of the type."""
    ENVELOPE: ClassVar[tuple[str, ...]] = ()
    """Fields that stand beside the type's own object; message push only."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; what was not given is left out."""
        content: dict[str, Any] = {}
        body: dict[str, Any] = {self.msgtype: content}
        for name, value in self.__dict__.items():
            if value is not None and name != "file":
                (body if name in self.ENVELOPE else content)[name] = _laid_out(name, value)
        return {"type": self.msgtype, "body": body}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, self.msgtype)) if can_hold_files(type(self)) else {}


def _laid_out(name: str, value: Any) -> Any:
    """As the vendor has it: the members who see a message are joined by bars."""
    return "|".join(value) if name == "visible_to_user" and isinstance(value, list) else plain_value(value)


class Raw(WebhookMessage):
    """A vendor body we do not model: everything beside msgtype and chatid."""

    msgtype: str  # type: ignore[misc]
    """The vendor's name of the type; `body` has an object under the same name. Unknown: 40008."""
    body: dict[str, Any]
    """The fields beside the recipients, such as `{"markdown": {"content": "..."}}`."""
    attachments: dict[str, tuple[str, InstanceOf[File]]] = Field(default_factory=dict, alias="files")
    """`files=`: body path (`file.media_id`) -> (upload type, file)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": dict(self.body)}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return self.attachments


class Upload(VendorMessage):
    """The message of an upload job (webhook/upload_media); its media_id is good for 3 days and for this key alone."""

    file: InstanceOf[File]
    """More than 5 bytes. Members see its name, without `" \\ / :` and line ends."""
    upload_type: str = "file"
    """`file` (any, 20 MB) or `voice` (AMR, 2 MB, 60 s). Other: 40005."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; all of an upload is in `files`."""
        return {"type": "upload"}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"media": (self.upload_type, self.file)}
