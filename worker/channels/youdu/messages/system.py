"""System messages (sysMsg), which pop up at their readers.

Source: c01_00003, 4.9 of the notes; characters as in `basic.py`. Only the app sysMsgAssistant may send them.
"""

from __future__ import annotations

from typing import Any, ClassVar

from worker.channels.typed import VendorObject
from worker.channels.youdu.messages.message import PlainMessage


class SysText(VendorObject):
    """A run of text in a system message."""

    content: str
    """Required. At most 600 characters. Longer: cut."""


class SysLink(VendorObject):
    """A link in a system message."""

    title: str
    """Required. At most 64 characters."""
    url: str
    """Required."""
    action: int | None = None
    """0 opens the URL as it is; 1 hands it the member's login: only for hosts of the account's `sso_hosts`."""


class SysItem(VendorObject):
    """One entry: either a text or a link."""

    text: SysText | None = None
    link: SysLink | None = None


class SysMsg(PlainMessage):
    """A system message, to some or, by `Everyone()`, to all."""

    msgtype: ClassVar[str] = "sysMsg"

    title: str
    """Required. At most 64 characters."""
    msg: list[SysItem]
    """Required: texts and links in order, such as `[{"text": {"content": "..."}}]`."""
    popDuration: int | None = None
    """Seconds the pop-up stays; 0 and less: until it is closed. Left out, the client decides."""
    only_online: bool | None = None
    """With `Everyone()` only: true reaches those online now, and the others never; false (default) those at their
    next login too."""

    def document(self) -> dict[str, Any]:
        """See `Message.document`; `onlyOnline` stands with the recipients, so it is an option."""
        out = super().document()
        out["body"][self.msgtype].pop("only_online", None)
        if self.only_online is not None:
            out["options"] = {"onlyOnline": self.only_online}
        return out
