"""Jobs, their parts with each part's state, the orders in which parts wait, and the terms by which jobs are found."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, text

from worker.domain.trace import CONTEXT_CHARACTERS
from worker.outbox.tables.columns import (
    ID,
    LANE,
    PART_ID,
    PREFIX,
    Key,
    LongText,
    by_state,
    from_zero,
    only_partial,
    partial,
    table,
)

jobs = table(
    "jobs",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7 made by the producer"),
    Column("kind", Key(40), nullable=False, doc="send, recall, upload, update_card; open text"),
    Column("channel", Key(40), nullable=False, doc="the account's channel at enqueue"),
    Column("account", Key(60), nullable=False, doc="the account's name in the settings"),
    Column("message", LongText(), nullable=False, doc="JSON message document; `{}` when nothing is said (recall)"),
    Column("recipients", LongText(), nullable=False, doc="JSON of all recipients asked for"),
    Column("asked", Integer, nullable=False, doc="how many recipient ids were asked for"),
    Column("priority", SmallInteger, nullable=False, doc="0 urgent, 1 normal, 2 bulk"),
    Column("due_at", BigInteger, nullable=False, doc="not before this instant; never changes"),
    Column("expires_at", BigInteger, doc="null: never expires"),
    Column("dedupe_key", Key(200), doc="the producer's; unique per account while the row exists; null: none"),
    Column("content_hash", Key(64), doc="SHA-256 of kind, message, recipients; null without dedupe_key"),
    Column("order_key", Key(200), doc="parts of an account's jobs with the same one go one by one; null: unordered"),
    Column("tags", LongText(), doc="JSON list of the producer's own words; null: none"),
    Column("on_unknown", Key(12), nullable=False, doc="default, hold, resend"),
    Column("target_job_id", Key(ID), doc="the job a recall or card update is about; null for the others"),
    Column(
        "replay_of", Key(ID), doc="the original this one repeats, also when a replay was replayed; null: an original"
    ),
    Column("warnings", LongText(), doc="JSON list of sentences said at enqueue; null: none"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
    from_zero("state", "JobState, out of the counters", SmallInteger),
    Column("finished_at", BigInteger, doc="when the job took the state in which none is open; null while open"),
    Column("awaited", Boolean, nullable=False, server_default=text("false"), doc="a follow-up is parked on this job"),
    from_zero("n_open", "parts queued or sending"),
    from_zero("n_accepted", "parts accepted"),
    from_zero("n_partial", "parts partial"),
    from_zero("n_rejected", "parts rejected"),
    from_zero("n_exhausted", "parts exhausted"),
    from_zero("n_unknown", "parts unknown"),
    from_zero("n_expired", "parts expired"),
    from_zero("n_cancelled", "parts cancelled"),
    Column("on_gap", Key(4), doc="hold, skip: for the parts behind its held or exhausted one; null without order_key"),
    Column("cancelled_at", BigInteger, doc="when it was cancelled, while something of it was to be sent; null: never"),
    Column("quiet_hours", Key(80), doc="its own quiet hours, or `none`; null: its account's"),
    from_zero("payload", "version of its documents and those of its parts, see `PAYLOAD`", SmallInteger),
    Column("tenant", Key(60), doc="the team that shares the account's limits with others; null: none"),
    Column(
        "trace",
        Key(CONTEXT_CHARACTERS),
        doc="its producer's traceparent, and behind a space the tracestate; null: no span was current",
    ),
    Index(
        PREFIX + "jobs_dedupe",
        "account",
        "dedupe_key",
        unique=True,
        postgresql_where=text("dedupe_key is not null"),
        sqlite_where=text("dedupe_key is not null"),
    ),
    partial("jobs_target", "target_job_id", where="target_job_id is not null"),
    partial("jobs_replay", "replay_of", where="replay_of is not null"),
)

parts = table(
    "parts",
    Column("id", Key(PART_ID), primary_key=True, doc="`<job id>-<n>`"),
    Column("job_id", Key(ID), nullable=False, doc="the job"),
    Column("n", Integer, nullable=False, doc="0, 1, ... inside the job"),
    Column(
        "lane",
        Key(LANE),
        nullable=False,
        doc="account name, colon, keyed hash of the lane inside the account; for a tenant a dot and its hash",
    ),
    Column("priority", SmallInteger, nullable=False, doc="the job's"),
    from_zero("state", "PartState", SmallInteger),
    Column(
        "not_before",
        BigInteger,
        doc="queued: earliest next mark; unknown: when its policy may act; null: held for a person, or ended",
    ),
    Column("expires_at", BigInteger, doc="the job's"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last mark, or of the last narrowing; results match on it"),
    Column("incarnation", Key(ID), doc="the process incarnation that marked it last; null before the first mark"),
    Column("marked_at", BigInteger, doc="instant of the last mark; null before the first"),
    Column("first_marked_at", BigInteger, doc="instant of the first mark; null before it"),
    Column("deadline_at", BigInteger, doc="when the last call must have ended; null before the first mark"),
    from_zero("tries", "calls that counted as attempts", SmallInteger),
    from_zero("busy", "answers -1 so far", SmallInteger),
    from_zero("repeats", "calls made while in doubt", SmallInteger),
    from_zero("doubts", "attempts without a readable answer", SmallInteger),
    from_zero("unheard", "of those, under which nothing left"),
    Column("flagged", Boolean, doc="the duplicate check was on in the last call; null before the first mark"),
    Column("waits_on", Key(ID), doc="the job this part is parked on; null: none"),
    Column(
        "spec",
        LongText(),
        nullable=False,
        doc="JSON: this part's share (recipients, task_id, msgid, targets, fetched file)",
    ),
    Column("reason", Key(300), doc="why it is where it is, in our words and codes, for people; null: nothing to say"),
    Column("order_id", Key(ID), doc="its order: hash of account and order_key; null: unordered"),
    Column("limit_name", Key(40), doc="the limit that had no room for it; null: waits for none"),
    only_partial("parts_queue", "lane", "priority", "not_before", "id", where="state = 0"),
    only_partial("parts_due", "not_before", "id", where="state = 0"),
    only_partial("parts_sending", "incarnation", where="state = 1"),
    only_partial("parts_doubt", "not_before", where="state = 6"),
    only_partial("parts_expiry", "expires_at", where="state = 0 and expires_at is not null"),
    partial("parts_waiting", "waits_on", where="waits_on is not null"),
    by_state("parts_queue", "lane", "priority", "not_before", "id"),
    by_state("parts_due", "not_before", "id"),  # also for those sending (few) and in doubt
    by_state("parts_expiry", "expires_at"),
)

order_queue = table(
    "order_queue",
    Column("part_id", Key(PART_ID), primary_key=True, doc="an ordered part that is not out of the others' way yet"),
    Column("order_id", Key(ID), nullable=False, doc="the part's order"),
    Column("place_at", BigInteger, nullable=False, doc="the job's due_at; 0 from its first mark on: it goes first"),
    Column("job_id", Key(ID), nullable=False, doc="the job; tells apart what is due at once"),
    Column("n", Integer, nullable=False, doc="the part's"),
    Column("skips", Boolean, nullable=False, doc="the others go on when it is held, exhausted or parked"),
    Index(PREFIX + "order_queue_next", "order_id", "place_at", "job_id", "n"),
)

orders = table(
    "orders",
    Column("id", Key(ID), primary_key=True, doc="an order with parts in its queue; a decision about them locks it"),
)

unindexed = table(
    "unindexed",
    Column("job_id", Key(ID), primary_key=True, doc="a job that ended, and whose terms are to be written"),
    Column("note", Key(ID), nullable=False, doc="names the commit that noted it last"),
)

terms = table(
    "terms",
    Column("term", Key(12), primary_key=True, doc="keyed hash of a field and its value, see `domain/job_terms.py`"),
    Column("job_id", Key(ID), primary_key=True, doc="a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)
