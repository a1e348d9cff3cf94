"""The messages that are arrays: mpnews (articles with a cover) and exlink (cards that lead elsewhere).

Source: c01_00003. Characters as in `basic.py`. The undocumented fields are those the vendor's own SDKs send.
"""

from __future__ import annotations

from typing import ClassVar

from worker.channels.typed import NO_FILE, Attached, VendorObject
from worker.channels.youdu.messages.message import ItemsMessage


class MpNewsItem(VendorObject):
    """One article."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    title: str
    """Required. At most 64 characters. Longer: cut."""
    media_id: str | None = None
    """The cover, of an `image` upload. Required, or a file."""
    file: Attached | None = NO_FILE
    """The cover."""
    content: str
    """Required: the body. At most 600 characters. Longer: cut."""
    digest: str | None = None
    """At most 120 characters. Longer: cut."""
    showFront: int | None = None
    """1 shows the cover in the body, 0 does not."""
    url: str | None = None
    """Undocumented; two of the vendor's SDKs send it."""


class MpNews(ItemsMessage):
    """Articles with a cover (4.6)."""

    msgtype: ClassVar[str] = "mpnews"

    items: list[MpNewsItem]
    """Required, 1 to 5."""

    def rows(self) -> list[VendorObject]:
        """The articles."""
        return list(self.items)


class ExLinkItem(VendorObject):
    """One card that leads to a URL."""

    UPLOADED: ClassVar[tuple[str, str] | None] = ("media_id", "image")

    title: str
    """Required. At most 64 characters."""
    url: str
    """Required."""
    media_id: str | None = None
    """The cover, of an `image` upload. Required, or a file; `""` sends the card without one, as the vendor's SDK does
    against its documentation (warned)."""
    file: Attached | None = NO_FILE
    """The cover."""
    digest: str | None = None
    """At most 120 characters. Longer: cut."""
    link_type: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    date_hide: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    tail_hide: int | None = None
    """Undocumented; the vendor's SDK sends 0."""
    subtitle: str | None = None
    """Undocumented; the vendor's SDK sends it empty."""
    link_desc: str | None = None
    """Undocumented; the vendor's SDK sends it empty."""


class ExLink(ItemsMessage):
    """Cards that lead elsewhere (4.8)."""

    msgtype: ClassVar[str] = "exlink"

    items: list[ExLinkItem]
    """Required, 1 to 5."""

    def rows(self) -> list[VendorObject]:
        """The cards."""
        return list(self.items)


ARTICLES: tuple[type[ItemsMessage], ...] = (MpNews, ExLink)
