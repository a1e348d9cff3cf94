"""What all messages of Youdu share, and those without fields of their own.

They only hold and lay out values; `checks/job.py` says what is wrong with them, all at once. A `repr` or a validation
error of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, InstanceOf

from worker.channels.typed import VendorMessage, VendorObject, attached, can_hold_files, plain_value
from worker.domain.content.message import File


class PlainMessage(VendorMessage):
    """Base of the messages with an object of their own, named like their type. Nothing makes their repeat safe."""

    msgtype: ClassVar[str]
    """The vendor's msgType."""
    NAMES: ClassVar[Mapping[str, str]] = {}
    """The vendor's names of fields that cannot be names in Python."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; what was not given is left out."""
        content = {
            self.NAMES.get(name, name): plain_value(value)
            for name, value in self.__dict__.items()
            if value is not None and name != "file"
        }
        return {"type": self.msgtype, "body": {self.msgtype: content}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return dict(attached(self, self.msgtype)) if can_hold_files(type(self)) else {}


class ItemsMessage(VendorMessage):
    """Base of the messages whose object is an array."""

    msgtype: ClassVar[str]

    def rows(self) -> list[VendorObject]:
        """The entries of the array."""
        raise NotImplementedError

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": {self.msgtype: plain_value(self.rows())}}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {path: file for n, row in enumerate(self.rows()) for path, file in attached(row, f"{self.msgtype}.{n}")}


class Raw(VendorMessage):
    """A msgType we do not model: the fields beside recipients and msgType of msg/send (c01_00003)."""

    msgtype: str
    """The vendor's name of the type; `body` has an object or array under the same name."""
    body: dict[str, Any]
    """Such as `{"text": {"content": "..."}}`."""
    attachments: dict[str, tuple[str, InstanceOf[File]]] = Field(default_factory=dict, alias="files")
    """`files=`: body path (`mpnews.0.media_id`) -> (upload type, file)."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        return {"type": self.msgtype, "body": dict(self.body)}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return self.attachments


class Upload(VendorMessage):
    """The message of an upload job (c01_00017). Its receipt is the mediaId; how long one lives is not documented."""

    file: InstanceOf[File]
    """Not empty; at most `upload_max_bytes` of the account (100 MiB, ours). Members see its name."""
    upload_type: str = "file"
    """`image` (jpg, png, gif), `file`, `voice` (amr) or `video` (mp4). Other: 200009."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; all of an upload is in `files`."""
        return {"type": "upload"}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"media": (self.upload_type, self.file)}
