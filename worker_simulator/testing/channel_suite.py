"""The promises that the worker makes for every channel, as tests of a channel from another distribution.

Write a class that inherits `ChannelSuite` in a test file of yours. pytest finds its tests, which use the kit's
fixtures: an outbox, a worker, and the fake vendor that your package adds to the simulator. See docs/channels.md.
"""

from __future__ import annotations

import json
import logging
import random
import re
from collections.abc import Mapping
from typing import Any, ClassVar

import pytest
from sqlalchemy.orm import Session

from worker.channels.registry import channel, require_usable
from worker.channels.wecom_app import Voice
from worker.channels.youdu import Badge
from worker.domain.call import Access, Reply
from worker.domain.content.message import Message
from worker.domain.content.recipient import Recipients
from worker.domain.errors import CheckFailed
from worker.domain.job import Draft, JobKind, Part, RepeatRule
from worker.domain.outcome import Unknown
from worker.producer.enqueue import enqueue
from worker.producer.follow_ups import recall
from worker.reporting.report import get_job
from worker_simulator.testing.outbox import KitOutbox

OWN, OTHER, TIGHT = "own", "other", "tight"
"""The accounts of the suite. `tight` may make two calls in a window of `limit`."""
OTHERS_ANSWERS = (
    Reply(200, {}, b"<html>sign in</html>"),
    Reply(200, {}, b""),
    Reply(302, {"location": "https://login.example.com"}, b""),
    Reply(404, {}, b"not found"),
    Reply(429, {"retry-after": "5"}, b"slow down"),
    Reply(502, {}, b"bad gateway"),
    Reply(503, {"retry-after": "1"}, b""),
    Reply(503, {}, b"<html>maintenance</html>"),
)
"""What proxies, gateways and portals answer in the vendor's place. The call may have been carried out all the same."""


class ChannelSuite:
    """The tests. Set what stands first, and override `message`, for a class of your own."""

    channel: ClassVar[str]
    """The name of the channel, as in its entry point."""
    settings: ClassVar[Mapping[str, Any]] = {}
    """The keys of an account's table that the channel requires."""
    path: ClassVar[str]
    """The path of the calls that send."""
    limit: ClassVar[str]
    """The name of a limit of calls that all sends of an account share."""
    refuses: ClassVar[int]
    """An errcode with which the vendor refuses a message for good."""
    parks: ClassVar[int]
    """An errcode after which an operator must act, so that the account is parked."""

    def message(self, n: int) -> Message:
        """Returns the n-th message, with a text that contains `canary-text`. No two are alike."""
        raise NotImplementedError

    def body(self, draft: Draft) -> Mapping[str, Any]:
        """Returns a message as the vendor's pages show it. Override it where its type stands in no `msgtype`."""
        return {**draft.message["body"], "msgtype": draft.message["type"]}

    def recipients(self) -> Recipients | None:
        """Returns the recipients of a message, or None if the account itself says who gets it."""
        return None

    def seen(self, outbox: KitOutbox) -> int:
        """Returns how many messages people see at the vendor. Override it where the vendor drops a repeat."""
        return len(outbox.calls(self.path))

    # -- helpers -------------------------------------------------------------------------------------------------------

    @pytest.fixture
    def worker_settings(self) -> Mapping[str, Any]:
        """Three accounts of the channel."""
        table = {"channel": self.channel, "base_url": "http://vendor.test", "secret": {"env": "PATH"}, **self.settings}
        return {"accounts": {OWN: table, OTHER: table, TIGHT: {**table, "limits": {self.limit: 2}}}}

    def send(self, outbox: KitOutbox, n: int = 0, account: str = OWN, **options: Any) -> str:
        """Enqueues the n-th message and returns its job's id."""
        with outbox.session() as session:
            return enqueue(session, account, self.message(n), self.recipients(), **options).id

    def draft(self, outbox: KitOutbox, n: int = 0) -> Draft:
        """Returns the n-th message as a job before it is stored."""
        vendor, message, to = channel(self.channel), self.message(n), self.recipients() or Recipients()
        kind = vendor.kind_of(message.document(), to)
        return Draft(kind, outbox.accounts.get(OWN), message.document(), to)

    def part(self, outbox: KitOutbox, n: int = 0) -> Part:
        """Returns the first call of the n-th message."""
        draft = self.draft(outbox, n)
        return Part("0" * 32 + "-0", "0" * 32, 0, draft.kind, draft.message, channel(self.channel).split(draft)[0])

    # -- what it is ----------------------------------------------------------------------------------------------------

    def test_its_account_is_usable(self, outbox: KitOutbox) -> None:
        """The settings are complete, and a key that the channel does not have is named."""
        require_usable(outbox.accounts.get(OWN))

    def test_a_good_message_is_taken(self, outbox: KitOutbox) -> None:
        """Without a problem, and of its own class when it is read back from the vendor's JSON."""
        vendor = channel(self.channel)
        draft = self.draft(outbox)

        assert vendor.check(draft) == []
        body = json.loads(json.dumps(self.body(draft)))
        assert vendor.reader().message_from_json(body) == self.message(0)

    def test_the_same_part_is_the_same_call(self, outbox: KitOutbox) -> None:
        """Byte for byte, so that a repeat can be told from another message. Other messages and credentials show."""
        vendor, account, access = channel(self.channel), outbox.accounts.get(OWN), Access("token", "secret")
        first, again, other = (
            vendor.request(self.part(outbox, n), account, access, flagged=False).body for n in (0, 0, 1)
        )

        assert first == again
        assert first != other
        others = vendor.request(self.part(outbox), account, Access("token2", "secret2"), flagged=False)
        assert others != vendor.request(self.part(outbox), account, access, flagged=False)
        hashes = [vendor.body_hash(self.part(outbox, n), account) for n in (0, 0, 1)]
        assert hashes[0] == hashes[1] != hashes[2]

    def test_every_limit_is_counted(self, outbox: KitOutbox) -> None:
        """What a call costs is among the limits that `worker limits` shows, with an account's own amount."""
        vendor, account = channel(self.channel), outbox.accounts.get(TIGHT)
        charges = vendor.limits(self.part(outbox), account)

        assert {charge.limit.name for charge in charges} <= set(vendor.profile)
        assert {charge.limit.amount for charge in charges if charge.limit.name == self.limit} == {2}
        counted = {counter.limit.name for counter in vendor.counted(account, None)}
        assert {charge.limit.name for charge in charges} <= counted

    @pytest.mark.parametrize("reply", OTHERS_ANSWERS, ids=lambda reply: f"{reply.status} {reply.body[:10]!r}")
    def test_what_others_answer_proves_nothing(self, outbox: KitOutbox, reply: Reply) -> None:
        """A send whose answer is not the vendor's own may have been carried out: it is in doubt."""
        vendor, account, part = channel(self.channel), outbox.accounts.get(OWN), self.part(outbox)
        verdict = vendor.outcome(part, account, reply, Access("token", "secret"))

        if vendor.repeat_rule(part.kind, part.message)[0] is not RepeatRule.HARMLESS:
            assert isinstance(verdict.outcome, Unknown)

    def test_any_answer_has_an_outcome(self, outbox: KitOutbox) -> None:
        """Whatever the bytes are, nothing is raised."""
        vendor, account, part = channel(self.channel), outbox.accounts.get(OWN), self.part(outbox)
        rng = random.Random(1)
        whole = b'{"errcode": 0, "errmsg": "ok", "data": [1, {"a": null}]}'
        for _ in range(200):
            cut = whole[: rng.randrange(len(whole))] + rng.randbytes(rng.randrange(20))
            vendor.outcome(part, account, Reply(rng.choice((200, 400, 500)), {}, cut), Access("token", "secret"))

    def test_a_message_of_another_channel_is_refused_with_what_to_use(self, outbox: KitOutbox) -> None:
        """By the names of the channel's own classes."""
        other = next(name for name in ("youdu", "wecom_app") if name != self.channel)
        message = Badge(count=1) if other == "youdu" else Voice(media_id="m")
        with outbox.session() as session, pytest.raises(CheckFailed, match=other):
            enqueue(session, OWN, message, self.recipients())

    def test_every_code_is_explained(self) -> None:
        """`worker explain` says what the two codes of this suite mean, and nothing of a code without a row."""
        vendor = channel(self.channel)

        assert vendor.explain(self.refuses, "en")
        assert vendor.explain(self.parks, "zh")
        assert vendor.explain(-987_654_321, "en") is None

    # -- what the worker does with it ----------------------------------------------------------------------------------

    def test_commit_means_sent_and_rollback_never(self, outbox: KitOutbox) -> None:
        """A job is there, and is sent, only if the transaction that enqueued it is committed."""
        with Session(outbox.engine) as session:
            enqueue(session, OWN, self.message(0), self.recipients())
            session.rollback()
        outbox.deliver()
        assert outbox.calls(self.path) == []

        job = self.send(outbox, 1)
        outbox.deliver()
        assert (outbox.job(job).state, len(outbox.calls(self.path))) == ("accepted", 1)

    @pytest.mark.parametrize("fault", ["answer lost", "timeout", "502", "503", "no json"])
    def test_a_lost_answer_is_no_second_message(self, outbox: KitOutbox, fault: str) -> None:
        """The job is in doubt, or was repeated in a way that the vendor makes safe."""
        part = self.part(outbox)
        is_held = channel(self.channel).repeat_rule(part.kind, part.message)[0] is RepeatRule.HOLD
        outbox.fault(fault, path=self.path)
        job = self.send(outbox)
        outbox.deliver()

        assert outbox.job(job).state in (("unknown",) if is_held else ("unknown", "accepted"))
        assert self.seen(outbox) <= 1

    def test_what_never_left_goes_again(self, outbox: KitOutbox) -> None:
        """A vendor that cannot be reached delays the message, and leaves no doubt."""
        outbox.fault("unreachable")
        job = self.send(outbox)
        outbox.deliver()

        assert (outbox.job(job).state, len(outbox.calls(self.path))) == ("accepted", 1)

    def test_a_refused_message_ends_with_its_code(self, outbox: KitOutbox) -> None:
        """And the next one goes."""
        outbox.fault(self.refuses, path=self.path)
        first, second = self.send(outbox, 0), self.send(outbox, 1)
        outbox.deliver()

        states = {outbox.job(job).state: job for job in (first, second)}
        assert sorted(states) == ["accepted", "rejected"]
        with outbox.session() as session:
            assert str(self.refuses) in str(get_job(session, states["rejected"]).parts[0].reason)

    def test_limits_are_kept(self, outbox: KitOutbox) -> None:
        """With a limit of two, further messages wait for the next window, and all are sent."""
        window_s = channel(self.channel).profile[self.limit].window_s
        jobs = [self.send(outbox, n, TIGHT) for n in range(4)]
        outbox.deliver(within=0)
        assert len(outbox.calls(self.path)) == 2

        for _ in range(8):
            outbox.clock.advance(window_s / 2)
            outbox.deliver(within=0)
        assert [outbox.job(job).state for job in jobs] == ["accepted"] * 4

    def test_nobody_waits_for_a_parked_account(self, outbox: KitOutbox) -> None:
        """An account that waits for an operator keeps its backlog, and another account goes on."""
        outbox.fault(self.parks, path=self.path)
        first = self.send(outbox, 0)
        outbox.deliver(within=0)
        more, others = [self.send(outbox, n) for n in (1, 2)], [self.send(outbox, n, OTHER) for n in (3, 4)]
        outbox.deliver(within=0)

        assert [outbox.job(job).state for job in (first, *more)] == ["open"] * 3
        assert [outbox.job(job).state for job in others] == ["accepted"] * 2
        outbox.clock.advance(minutes=12)
        outbox.deliver()
        assert [outbox.job(job).state for job in (first, *more)] == ["accepted"] * 3

    def test_a_recall_is_possible_or_refused_at_once(self, outbox: KitOutbox) -> None:
        """What can never be taken back says so when it is asked for, with the vendor's reason."""
        job = self.send(outbox)
        outbox.deliver()
        problem = channel(self.channel).follow_up_problem(JobKind.RECALL, JobKind.SEND)
        with outbox.session() as session:
            recalled = recall(session, job) if problem is None else None
            if problem is not None:
                with pytest.raises(CheckFailed, match=re.escape(problem.text)):
                    recall(session, job)
        outbox.deliver()
        assert recalled is None or outbox.job(recalled).state == "accepted"

    def test_secrets_and_texts_stay_out(self, outbox: KitOutbox, caplog: pytest.LogCaptureFixture) -> None:
        """No log line, report, name of a lane or `repr` holds the account's secret, or what is written to people."""
        caplog.set_level(logging.DEBUG)
        outbox.fault(self.refuses, path=self.path)
        jobs = [self.send(outbox, n) for n in range(2)]
        outbox.deliver()
        with outbox.session() as session:
            reports = [get_job(session, job) for job in jobs]
        part = self.part(outbox)
        lane = channel(self.channel).lane(part.kind, part.message, part.spec)
        shown = [caplog.text, lane, *map(repr, (self.message(0), outbox.accounts.get(OWN), *reports))]

        account = outbox.accounts.get(OWN)
        secret = account.secret.read() if account.secret else "canary-text"
        assert [place for place in shown if "canary-text" in place or secret in place] == []
