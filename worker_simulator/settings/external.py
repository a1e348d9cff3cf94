"""Group sends to customers and customer groups: who is whose customer, what comes back when, what customers take.

Does not know how a call is checked.
"""

from typing import Literal

from pydantic import Field

from worker_simulator.settings.group import SettingsGroup


class ExternalSettings(SettingsGroup):
    """Group sends; a code of 0 accepts what it would refuse."""

    permitted: bool = True
    """The apps may call customer contact; else 48002 everywhere."""
    missing: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of customers and groups that do not exist (fail_list)."""
    former: list[str] = Field(default_factory=lambda: ["former.*"])
    """Regular expressions of customers who are no contact any more once a member sends (status 2)."""
    customers: dict[str, list[str]] = Field(default_factory=dict)
    """All customers of single members; for any other member each id that a call names is one, unless missing."""
    groups: dict[str, list[str]] = Field(default_factory=dict)
    """All groups of single owners; for any other owner each id that a call names is one, unless missing."""
    made_up: int = 3
    """How many customers, or groups, a member has whose own are not listed: `wm-MEMBER-1`, `wr-MEMBER-1`."""
    talked_last: dict[str, str] = Field(default_factory=dict)
    """Customer -> the member who talked with them last; others talked with `service1`."""
    tags: dict[str, list[str]] = Field(default_factory=dict)
    """Customer -> corp tags."""
    missing_tags: list[str] = Field(default_factory=lambda: ["ghost.*"])
    """Regular expressions of tags that do not exist (40068)."""
    missing_sender_code: int = 40003
    """(unconfirmed) A sender who does not exist."""
    invisible_sender_code: int = 60011
    """(unconfirmed) A sender outside the app's visible range."""
    malformed_code: int = 40096
    """(unconfirmed) Every id is malformed."""
    nobody_code: int = 41048
    """(unconfirmed) Every id is well-formed, and none of them can be sent to."""
    picture_code: int = 40058
    """(unconfirmed) A pic_url that is of no uploadimg upload."""
    empty_image_code: int = 41006
    """(unconfirmed) An image without media_id and pic_url."""
    dispatch_s: float = 2.0
    """(unconfirmed) How long queries, reminders and cancels answer 41063 after a task was made."""
    cap: Literal["month", "week", "day", "seed"] = "month"
    """What a customer or group takes: `month`, as many as the month has days; `week`, 7; `day`, 1; `seed` (2022), 4 a
    month."""
    capped_in_fail_list: bool = False
    """(unconfirmed) Recipients whose cap is used up stand in fail_list, instead of status 3 later."""
    unsent_listed: bool = True
    """(unconfirmed) Results name customers who were not sent to yet; groups they never do."""
    page_most: int = 0
    """No page has more entries, whatever the call asks for; 0: the vendor's own limits."""
    reminders_per_day: int = 3
    """Reminders of a task in 24 h."""
    cancelled_query_code: int = 0
    """(unconfirmed) Queries about a cancelled task: 0 or 41093."""
