"""campaign() of what is no group-send: refused with the vendor's reason, and no list is made up."""

from __future__ import annotations

import pytest

from tests.pipeline.webhook_site import a_webhook
from tests.support.runtime import an_account, planted
from worker import Chats, NotReplayable, campaign
from worker.channels.wecom_webhook import Text
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database

pytestmark = pytest.mark.fewer_databases("the statements behind it run on each database in other tests")


def test_of_what_nobody_carries_out_there_is_nothing_to_read(database: Database, driven_clock: DrivenClock) -> None:
    """A chat that was posted to does not wait for anybody."""
    with planted(database, driven_clock, accounts=[an_account(), a_webhook("http://vendor")]) as site:
        jobs = [site.send(), site.ask(Text(content="hi"), Chats("wr-1"), account="alerts"), site.upload()]

        for job in jobs:
            with pytest.raises(NotReplayable, match="cannot be read"), site.database.reading() as connection:
                campaign(connection, job)
