"""Pop-up windows (c01_00006) and badge counts (c01_00005): calls of their own, without a token."""

from __future__ import annotations

from typing import Any

from worker.channels.typed import VendorMessage


class PopWindow(VendorMessage):
    """A window that pops up at members, on Windows clients only."""

    url: str | None = None
    """The page to open. url or tip is required; beside a url the tip is not shown."""
    tip: str | None = None
    """The text to show."""
    title: str | None = None
    """Of the window."""
    width: int | None = None
    height: int | None = None
    duration: int | None = None
    """Seconds it stays: 0 or left out 5, -1 until it is closed."""
    position: int | None = None
    """0 or left out: centre; 1 top left, 2 top right, 3 bottom right, 4 bottom left."""
    pop_mode: int | None = None
    """1 browser, 2 window; any other: as the app is set."""
    notice_id: str | None = None
    """A later window of the same id takes the earlier one's place, which makes a repeat harmless. Left out, the worker
    gives one for each call; `""` sends none, and an unanswered call is held."""

    def document(self) -> dict[str, Any]:
        """`{"type": "pop_window", "body": {"popWindow": {...}}}`."""
        return {"type": "pop_window", "body": {"popWindow": self.model_dump(mode="json", exclude_none=True)}}


class Badge(VendorMessage):
    """The count on the app's icon of each of the users named: one call for each.

    It is absolute, so a repeat is harmless.
    """

    count: int
    """Required, 0 or more; 0 clears it and shows no tip."""
    tip: str | None = None
    """Shown in a pop-up."""

    def document(self) -> dict[str, Any]:
        """`{"type": "badge", "body": {"count": .., "tip": ..}}`."""
        return {"type": "badge", "body": self.model_dump(mode="json", exclude_none=True)}
