"""Two hours of a company's messages in an outbox: what the console's pictures show."""

from __future__ import annotations

from tests.pipeline.console.full_outbox import FullOutbox, fill
from tests.support.runtime import Site, lost, refused
from worker import To

STEP_S = 600
NOTICES = (
    "Canteen closes at 14:00",
    "Fire drill on Friday",
    "Payslips are out",
    "New badge at the gate",
    "Server room: 31 °C",
    "Timesheets until noon",
)


def two_busy_hours(site: Site) -> FullOutbox:
    """Sends to more and fewer people every ten minutes, then whatever can happen to a job."""
    for n in range(12):
        people = To([f"user{k:04}" for k in range(200 + 450 * (n * 7 % 5))])
        site.send(NOTICES[n % len(NOTICES)], people, tags=["notice"], account=("hr", "it")[n % 2])
        site.run()
        site.advance(STEP_S)
    # The clock's leaps have each cost a process its heartbeat.
    site.sql("delete from worker_processes where id <> :id", id=site.runtime.lease.incarnation)
    site.vendor.says(refused(0, "ok", invaliduser="left1|left2|left3"))
    site.send("Welcome aboard", To(["anna", "left1", "left2", "left3"]), tags=["welcome"])
    site.run()
    site.vendor.says(lost())
    site.ring(site.send("Door code changed", "chen", on_unknown="hold", tags=["security"]))
    return fill(site)
