"""The typed messages of WeCom application messages (企业微信 应用消息), in the vendor's spelling.

They only hold and lay out values; `check.py` says what is wrong with them, all at once. A `repr` or a validation error
of these types never shows a value: what stands in them is message text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, InstanceOf

from worker.domain.message import File, Message

QUIET = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True, populate_by_name=True)


class VendorMessage(Message):
    """Base of this channel's messages; shows no value in its `repr` or in a validation error."""

    model_config = QUIET

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class VendorObject(BaseModel):
    """Base of the objects nested in a message; as silent as the message itself."""

    model_config = QUIET

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        return ()


class PlainMessage(VendorMessage):
    """Base of the messages whose repeat is made safe by the vendor's duplicate check."""

    duplicate_check: bool = True
    """On: an unanswered call is repeated inside 4 h (14400 s, the vendor's maximum). Off: it is held. (90236)"""

    def options(self) -> dict[str, Any]:
        """The worker's own options of a send; never part of the vendor's body."""
        return {"duplicate_check": self.duplicate_check}


class Text(PlainMessage):
    """A text message (page 90236 发送应用消息, 文本消息)."""

    content: str
    """1 to 2048 bytes of UTF-8; `\\n` and `<a href>` allowed. Empty: 44004. Longer: cut in silence, so refused here."""
    safe: int = 0
    """0 may be shared out; 1 no sharing and a watermark. 2 is for mpnews only."""
    enable_id_trans: int = 0
    """1 translates `$userName=USERID$` and its like in `content`."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        body = {
            "text": {"content": self.content},
            "safe": self.safe,
            "enable_id_trans": self.enable_id_trans,
        }
        return {"type": "text", "body": body, "options": self.options()}


class Image(PlainMessage):
    """An image message (page 90236 发送应用消息, 图片消息): a `media_id` of the corp, or a file to upload first."""

    media_id: str | None = None
    """Of an `image` upload, at most 3 days old (page 90253). Missing: 41006; unknown, old or of another kind: 40007."""
    file: InstanceOf[File] | None = None
    """JPG or PNG, more than 5 bytes, at most 10 MB (page 90253). Wrong: 40004, 40006, 40009, 40123."""
    safe: int = 0
    """0 may be shared out; 1 no sharing and a watermark."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`."""
        body = {"image": {"media_id": self.media_id}, "safe": self.safe}
        return {"type": "image", "body": body, "options": self.options()}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"image.media_id": ("image", self.file)} if self.file else {}


class Raw(PlainMessage):
    """A vendor body we do not model: everything of page 90236 besides recipients, agentid and duplicate check."""

    msgtype: str
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


class Upload(VendorMessage):
    """The message of an upload job (page 90253 上传临时素材); its receipt is a `media_id` for 3 days."""

    file: InstanceOf[File]
    """More than 5 bytes. Members see its name, without `" \\ / :` and line ends."""
    upload_type: str = "file"
    """`image` (JPG, PNG, 10 MB), `voice` (AMR, 2 MB, 60 s), `video` (MP4, 10 MB), `file` (any, 20 MB). Other: 40005."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; all of an upload is in `files`."""
        return {"type": "upload"}

    def files(self) -> Mapping[str, tuple[str, File]]:
        """See `Message.files`."""
        return {"media": (self.upload_type, self.file)}


class CardUpdate(VendorMessage):
    """The message of an update_card job (page 94888 更新模版卡片消息); one of the two forms.

    Targets are the job's recipients, at most 1000 users, 100 parties and 100 tags; none: everyone of the original.
    """

    replace_name: str | None = None
    """Form A: the buttons become grey and show this text. Only button, vote and multiple cards."""
    template_card: dict[str, Any] | None = None
    """Form B: the new card, of any type, in the vendor's fields; `replace_text` freezes its buttons."""
    enable_id_trans: int = 0
    """Form B: 1 translates `$userName=USERID$` and its like."""

    def document(self) -> dict[str, Any]:
        """`{"type": "card_update", "button": {"replace_name": ..}}` or `{"type": .., "template_card": {..}}`."""
        out: dict[str, Any] = {"type": "card_update"}
        if self.replace_name is not None:
            out["button"] = {"replace_name": self.replace_name}
        if self.template_card is not None:
            out["template_card"] = dict(self.template_card)
        if self.enable_id_trans:
            out["enable_id_trans"] = self.enable_id_trans
        return out
