"""The tables, column by column: what each value is, where it comes from and when it is NULL.

They are in the producer's database, so every name starts with `worker_`. Instants are integer microseconds UTC by the
database's clock. Ids are UUIDv7 as 32 hex digits, made by the producer; a part's id is `<job id>-<n>`, so all parts of
a job are side by side in the primary key. No foreign keys: producers must never wait for a row that workers update.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger, text

from worker.domain.trace import CONTEXT_CHARACTERS
from worker.outbox.tables.columns import (
    ID,
    LANE,
    PART_ID,
    PREFIX,
    Chunk,
    Key,
    LongText,
    by_state,
    columns_of as columns_of,
    from_zero,
    is_made as is_made,
    metadata as metadata,
    only_partial,
    partial,
    table,
)

VERSION_TABLE = PREFIX + "alembic_version"

# -- jobs, their parts, the orders in which parts wait, and the terms by which jobs are found --------------------------

jobs = table(
    "jobs",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7 made by the producer"),
    Column("kind", Key(40), nullable=False, doc="send, recall, upload, update_card; open text"),
    Column("channel", Key(40), nullable=False, doc="the account's channel at enqueue"),
    Column("account", Key(60), nullable=False, doc="the account's name in the settings"),
    Column("message", LongText(), nullable=False, doc="JSON message document; `{}` for a job without one (recall)"),
    Column("recipients", LongText(), nullable=False, doc="JSON of all recipients"),
    Column("asked", Integer, nullable=False, doc="how many recipient ids there are"),
    Column("priority", SmallInteger, nullable=False, doc="0 urgent, 1 normal, 2 bulk"),
    Column("due_at", BigInteger, nullable=False, doc="nothing is sent before this instant; only a person changes it"),
    Column("expires_at", BigInteger, doc="null: never expires"),
    Column("dedupe_key", Key(200), doc="set by the producer; unique per account while the row exists; null: none"),
    Column("content_hash", Key(64), doc="SHA-256 of kind, message, recipients; null without dedupe_key"),
    Column(
        "order_key", Key(200), doc="parts of an account's jobs with the same key are sent one by one; null: unordered"
    ),
    Column("tags", LongText(), doc="JSON list of tags, chosen by the producer; null: none"),
    Column("on_unknown", Key(12), nullable=False, doc="default, hold, resend"),
    Column(
        "target_job_id",
        Key(ID),
        doc="the job that a recall, card update or other follow-up is about; null for other jobs",
    ),
    Column(
        "replay_of", Key(ID), doc="the original that this job replays, also if a replay was replayed; null: an original"
    ),
    Column("warnings", LongText(), doc="JSON list of the warnings at enqueue; null: none"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
    from_zero("state", "JobState, computed from the counters", SmallInteger),
    Column("finished_at", BigInteger, doc="when the last part was no longer open; null while one is open"),
    Column("awaited", Boolean, nullable=False, server_default=text("false"), doc="a follow-up waits for this job"),
    from_zero("n_open", "parts queued or sending"),
    from_zero("n_accepted", "parts accepted"),
    from_zero("n_partial", "parts partial"),
    from_zero("n_rejected", "parts rejected"),
    from_zero("n_exhausted", "parts exhausted"),
    from_zero("n_unknown", "parts unknown"),
    from_zero("n_expired", "parts expired"),
    from_zero("n_cancelled", "parts cancelled"),
    Column(
        "on_gap",
        Key(4),
        doc="hold or skip: whether its order stops when one part is held or exhausted; null: unordered",
    ),
    Column("cancelled_at", BigInteger, doc="when it was cancelled before all of it was sent; null: never"),
    Column("quiet_hours", Key(80), doc="the job's own quiet hours, or `none`; null: those of its account"),
    from_zero("payload", "version of its message, recipients and specs, see `PAYLOAD`", SmallInteger),
    Column("tenant", Key(60), doc="the team that shares the account's limits with others; null: none"),
    Column(
        "trace",
        Key(CONTEXT_CHARACTERS),
        doc="its producer's traceparent, and after a space the tracestate; null: no span was current",
    ),
    partial("jobs_dedupe", "account", "dedupe_key", where="dedupe_key is not null", unique=True),
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
        doc="account name, colon, keyed hash of the lane within the account; for a tenant a dot and its hash",
    ),
    Column("priority", SmallInteger, nullable=False, doc="the job's"),
    from_zero("state", "PartState", SmallInteger),
    Column(
        "not_before",
        BigInteger,
        doc="queued: earliest next mark; unknown: time of the repeat or search; null: held for a person, or ended",
    ),
    Column("expires_at", BigInteger, doc="the job's"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last mark, or of the last deferral of recipients; results match on it"),
    Column("incarnation", Key(ID), doc="the process incarnation that marked it last; null before the first mark"),
    Column("marked_at", BigInteger, doc="instant of the last mark; null before the first"),
    Column("first_marked_at", BigInteger, doc="instant of the first mark; null before it"),
    Column("deadline_at", BigInteger, doc="when the last call must have ended; null before the first mark"),
    from_zero("tries", "calls that counted as attempts", SmallInteger),
    from_zero("busy", "answers -1 so far", SmallInteger),
    from_zero("repeats", "calls made while in doubt", SmallInteger),
    from_zero("doubts", "attempts without a readable answer", SmallInteger),
    from_zero("unheard", "marks whose call certainly sent nothing"),
    Column("flagged", Boolean, doc="the duplicate check was on in the last call; null before the first mark"),
    Column("waits_on", Key(ID), doc="the job that this part waits for; null: none"),
    Column(
        "spec",
        LongText(),
        nullable=False,
        doc="JSON of what this part sends (recipients, task_id, msgid, targets, fetched file)",
    ),
    Column(
        "reason",
        Key(300),
        doc="why it waits or how it ended, in our words and the vendor's codes, for people; null: no reason",
    ),
    Column("order_id", Key(ID), doc="its order: hash of account and order_key; null: unordered"),
    Column("limit_name", Key(40), doc="the limit that it waits for; null: waits for none"),
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
    Column("part_id", Key(PART_ID), primary_key=True, doc="an ordered part that still blocks later parts of its order"),
    Column("order_id", Key(ID), nullable=False, doc="the part's order"),
    Column(
        "place_at", BigInteger, nullable=False, doc="the job's due_at; 0 after its first mark, so that it comes first"
    ),
    Column("job_id", Key(ID), nullable=False, doc="the job; decides between parts that are due at the same instant"),
    Column("n", Integer, nullable=False, doc="the part's"),
    Column("skips", Boolean, nullable=False, doc="the order goes on if this part is held, exhausted or parked"),
    Index(PREFIX + "order_queue_next", "order_id", "place_at", "job_id", "n"),
)

orders = table(
    "orders",
    Column(
        "id", Key(ID), primary_key=True, doc="an order with parts in its queue; who decides about them locks this row"
    ),
)

unindexed = table(
    "unindexed",
    Column("job_id", Key(ID), primary_key=True, doc="a job that ended and whose terms have to be written"),
    Column("note", Key(ID), nullable=False, doc="id of the last commit that wrote this row"),
)

ended_tags = table(
    "ended_tags",
    Column("tag", Key(100), primary_key=True, doc="a tag of jobs that ended, for which a worker has a hook"),
    Column("note", Key(ID), nullable=False, doc="id of the last indexing that wrote this row"),
    Column("ended_at", BigInteger, nullable=False, doc="when the last of its jobs ended that was indexed"),
    Column(
        "look_at", BigInteger, doc="when to check whether all have ended; null: an event has reported that they have"
    ),
    Column("witness", Key(ID), doc="a job with the tag that was open at the last check; null: none yet"),
    Column("told_at", BigInteger, doc="when an event reported that none of its jobs was open; null: never"),
    Index(PREFIX + "ended_tags_look", "look_at", "told_at"),
)

terms = table(
    "terms",
    Column("term", Key(12), primary_key=True, doc="keyed hash of a field and its value, see `domain/job_terms.py`"),
    Column("job_id", Key(ID), primary_key=True, doc="a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)

# -- what allows or holds back calls, what is made once for an installation, and what is counted -----------------------

lanes = table(
    "lanes",
    Column("lane", Key(LANE), primary_key=True, doc="a lane's key, or an account's name for all of its lanes"),
    Column("account", Key(60), nullable=False, doc="the account's name"),
    Column("label", Key(100), nullable=False, doc="readable, for the command line: `send/text`"),
    Column("blocked_until", BigInteger, nullable=False, doc="nothing is offered or marked before this instant"),
    Column("reason", Key(300), nullable=False, doc="why, in our words and codes, for people"),
    Column("remedy", Key(300), doc="what a person must do; null when time alone heals it"),
    Column("parked", Boolean, nullable=False, doc="true: a person must act; blocked_until is the next probe"),
    Column("cause", Key(20), doc="what ends the block: token, chat, allowance; null: time or a person"),
    Column("limit_name", Key(40), doc="the limit in our settings that is used up; null: blocked for another reason"),
    Column("blocked_at", BigInteger, nullable=False, doc="when the block was written; 0: never blocked"),
    Column("hint", Key(80), doc="the vendor's trace number of the answer that blocked it; null without one"),
    from_zero("step", "answers 45009 since the last success", SmallInteger),
    from_zero("struck_until", "end of the block after the last 45009; only calls marked later count", BigInteger),
    Column("calls", Integer, doc="calls that may be in flight in all processes together; null: no limit"),
    from_zero(
        "changed_at",
        "when `calls` changed last: a success of a call marked later doubles it; without `calls`, since when they fail",
        BigInteger,
    ),
    from_zero("rest_s", "seconds between two increases of `calls`"),
    from_zero("failures", "calls in a row that show the vendor is unhealthy; five open the breaker"),
)

lane_events = table(
    "lane_events",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("lane", Key(LANE), nullable=False, doc="a lane's key, or an account's name; empty: about no lane"),
    Column("account", Key(60), nullable=False, doc="the account's name; empty: about no account"),
    Column("label", Key(100), nullable=False, doc="readable, as in `lanes`"),
    Column("what", Key(20), nullable=False, doc="the kind of event, such as struck, parked, breaker opened"),
    Column("reason", Key(300), nullable=False, doc="why, in our words and codes"),
    Column("remedy", Key(300), doc="what a person must do; null when time alone heals it"),
    Column("hint", Key(80), doc="the vendor's trace number; null without one"),
    Column("until", BigInteger, doc="when the block ends or the next probe is due; null: nothing is blocked"),
    Column(
        "happened_at", BigInteger, nullable=False, doc="when it was written, together with the answer that caused it"
    ),
)

budgets = table(
    "budgets",
    Column("id", Key(64), primary_key=True, doc="keyed hash of limit name, window and subject"),
    Column("buckets", LongText(), nullable=False, doc="JSON list of [slot, used, until]"),
    Column("updated_at", BigInteger, nullable=False, doc="last reservation; old rows are purged by it"),
)

tokens = table(
    "tokens",
    Column("account", Key(60), primary_key=True, doc="the account's name"),
    Column("fingerprint", Key(64), primary_key=True, doc="keyed hash of the credentials"),
    Column(
        "sealed", LongText(), doc="the token, encrypted with a key derived from the secret; null before the first fetch"
    ),
    Column("generation", Integer, nullable=False, doc="number of the token; a refusal names its token by it"),
    Column("fetched_at", BigInteger, doc="null before the first fetch"),
    Column("expires_at", BigInteger, doc="null before the first fetch; in the past when the vendor refused it"),
    Column("lease_holder", Key(ID), doc="the process that is fetching; null: none"),
    Column("lease_until", BigInteger, doc="end of that lease; null: none"),
    Column("refused", Key(300), doc="why the vendor refused the credentials; null: it did not"),
    Column("probe_at", BigInteger, doc="next probe after a refusal; or end of a probation; null: neither"),
)

grants = table(
    "grants",
    Column("kind", Key(20), primary_key=True, doc="ticket, auth_code or code"),
    Column("account", Key(60), primary_key=True, doc="the account whose callbacks brought the credential"),
    Column(
        "subject",
        Key(128),
        primary_key=True,
        doc="whose it is: the corp's id for a code, a keyed hash for an auth_code; empty: the account's own",
    ),
    Column("sealed", LongText(), doc="encrypted with a key derived from the account's secret; null: it was withdrawn"),
    Column(
        "issued_at",
        BigInteger,
        nullable=False,
        doc="the vendor's instant, but not later than stored_at; the newest wins",
    ),
    Column("ends_at", BigInteger, doc="until when it is valid; null: no end"),
    Column("stored_at", BigInteger, nullable=False, doc="when it was stored or withdrawn"),
    Column(
        "lease_until",
        BigInteger,
        doc="for an auth_code: no process exchanges it before this instant; null: none has tried",
    ),
)

pauses = table(
    "pauses",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("account", Key(60), doc="only jobs of this account; null: of any"),
    Column("channel", Key(40), doc="only jobs of this channel; null: of any"),
    Column("kind", Key(40), doc="only jobs of this kind; null: of any but recalls"),
    Column("tag", Key(100), doc="only jobs with this tag; null: with any or none"),
    Column("job_id", Key(ID), doc="only this job; null: all jobs that match the other columns"),
    Column(
        "parked_until",
        BigInteger,
        nullable=False,
        doc="the `not_before` of parts that wait for it: far away, and unique to this pause",
    ),
    Column("person", Key(128), nullable=False, doc="who paused: the system's user, or another name that was given"),
    Column("why", Key(300), nullable=False, doc="the person's own words"),
    Column("began_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
    Column(
        "ended_at",
        BigInteger,
        doc="when a person ended it; null: it is active. The row stays for an hour, for the parts that wait for it",
    ),
    Index(PREFIX + "pauses_job", "job_id"),
)

processes = table(
    "processes",
    Column("id", Key(ID), primary_key=True, doc="the incarnation, random"),
    Column("alive_until", BigInteger, nullable=False, doc="renewed every 3 s for 10 s"),
    Column(
        "started_at",
        BigInteger,
        nullable=False,
        doc="the first heartbeat of its process, also under an earlier incarnation",
    ),
    Column("ended_at", BigInteger, doc="when it ended cleanly, or was counted as dead; null while alive"),
    Column("threads", Integer, nullable=False, doc="sender threads"),
    Column("host", Key(100), nullable=False, doc="for people"),
    Column("pid", Integer, nullable=False, doc="for people"),
    Column("lanes", LongText(), nullable=False, doc="JSON: lane -> calls in flight and latency"),
    Column("queues", Key(100), doc="the queues it consumes, separated by commas; null: all"),
    Column("unusable", LongText(), doc="JSON: account -> why it cannot use it; null: none"),
    Column("version", Key(40), doc="version of the package; null: an earlier release, which does not write it"),
    Column("revision", Key(32), doc="the newest revision of the tables in its release; null with `version`"),
    Column("health", LongText(), doc="JSON list of its problems, as it reports them itself; null: none"),
    Column(
        "hooked_ends",
        LongText(),
        doc="JSON: account (empty: every account) -> JobStates in which a job's end has a hook there; null: an earlier"
        " release, which does not write it",
    ),
    Column(
        "hooked_tags",
        LongText(),
        doc="JSON list of tags, or their beginnings with `*`, for whose end it has a hook; null: none",
    ),
    Column(
        "hindered",
        LongText(),
        doc="JSON: lease -> why it cannot do that work, although a restart would not help; null: none",
    ),
)

leases = table(
    "leases",
    Column("name", Key(40), primary_key=True, doc="the work that the lease is for, such as `relay` or `recovery`"),
    Column("holder", Key(ID), nullable=False, doc="the process incarnation"),
    Column(
        "held_until",
        BigInteger,
        nullable=False,
        doc="end of the lease, renewed by its holder; in the past if the holder fails at the work",
    ),
)

site = table(
    "site",
    Column("name", Key(40), primary_key=True, doc="`lane_key`, `compatible_from` or `accounts`"),
    Column(
        "value",
        Key(200),
        nullable=False,
        doc="made by `db upgrade`: random hex that keys the hashes; the revision and the oldest that may use it;"
        " a text that is another one after each change of an account",
    ),
)

counts = table(
    "counts",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("counts", LongText(), nullable=False, doc="JSON: name -> what has to be added to `totals`"),
    Column("exemplars", LongText(), doc="JSON: bucket's name -> a traced call in it; null: none was traced"),
)

totals = table(
    "totals",
    Column("name", Key(300), primary_key=True, doc="a counter and the values of its labels, with tabs between them"),
    Column("value", BigInteger, nullable=False, doc="the sum of all counts; times are in microseconds"),
    Column("exemplar", Key(200), doc="JSON of the newest traced call in this bucket; null: none"),
)

rates = table(
    "rates",
    Column("length_us", BigInteger, primary_key=True, autoincrement=False, doc="a minute or a quarter of an hour"),
    Column("began_at", BigInteger, primary_key=True, autoincrement=False, doc="when it began, by the ids of `counts`"),
    Column("account", Key(60), primary_key=True, doc="the account's name"),
    Column(
        "accepted", BigInteger, nullable=False, doc="calls that the vendor accepted, for all recipients or for some"
    ),
    Column("refused", BigInteger, nullable=False, doc="calls that the vendor answered but did not accept"),
    Column("unanswered", BigInteger, nullable=False, doc="calls without a readable answer, or that could not be made"),
)

# -- results of calls: every attempt, and what the vendor returned or refused ------------------------------------------

attempts = table(
    "attempts",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column(
        "claim", Integer, primary_key=True, autoincrement=False, doc="number of the mark that the call was made under"
    ),
    Column("incarnation", Key(ID), nullable=False, doc="the process that made it"),
    Column(
        "outcome",
        Key(20),
        nullable=False,
        doc="name of the outcome, such as accepted or unknown; after a late answer it is still unknown",
    ),
    Column("doubtful", Boolean, nullable=False, doc="there is no readable answer yet"),
    Column(
        "reason",
        Key(300),
        doc="the reason in our words; null when accepted; after a late answer it is still that of the doubt",
    ),
    Column("http_status", SmallInteger, doc="null without an answer"),
    Column("errcode", BigInteger, doc="the vendor's errcode; null without a readable answer"),
    Column("errmsg", LongText(), doc="the vendor's text, cleaned and redacted; null without one"),
    Column("hint", Key(80), doc="the vendor's trace number; null without one"),
    Column("caller_ip", Key(60), doc="our address as the vendor saw it; null if the answer does not say"),
    Column("flagged", Boolean, nullable=False, doc="the duplicate check was on"),
    Column("duration_ms", Integer, doc="duration of the call; null if it did not end, because its process died"),
    Column("started_at", BigInteger, nullable=False, doc="instant of the mark"),
    Column(
        "ended_at",
        BigInteger,
        nullable=False,
        doc="when the answer, the doubt or the process's death was recorded; a late answer does not change it",
    ),
)

waits = table(
    "waits",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("reason", Key(100), primary_key=True, doc="what it waits for, in our words and the vendor's codes"),
    Column("began_at", BigInteger, nullable=False, doc="when it last began to wait for this reason"),
)

receipts = table(
    "receipts",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the call that brought it"),
    Column("msgid", LongText(), doc="the vendor's msgid; null if it gives none"),
    Column("media_id", LongText(), doc="the media_id of an upload; null for other calls"),
    Column("accepted_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("recalled_at", BigInteger, doc="when a recall of it was accepted; null: not recalled"),
    Column(
        "from_repeat", Boolean, nullable=False, doc="only the answer to a repeat proves that the vendor accepted it"
    ),
    Column("not_sent", Boolean, nullable=False, doc="accepted without a call"),
    Column("warning", LongText(), doc="that a promised id is missing, or the vendor's warning; null: none"),
    Column(
        "extra",
        LongText(),
        doc="JSON of what else the vendor gave: `url`, `chatid`, `type` and `created_at` of an upload; null: nothing",
    ),
)

failures = table(
    "failures",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("kind", Key(12), primary_key=True, doc="user, party, tag"),
    Column("recipient_key", Key(128), primary_key=True, doc="the recipient in lower case"),
    Column("recipient", Key(128), nullable=False, doc="as the producer wrote it"),
    Column("field", Key(40), nullable=False, doc="the vendor's list that names the recipient, such as invaliduser"),
    Column("errcode", BigInteger, nullable=False, doc="the vendor's errcode; 0 if the other recipients were accepted"),
    Column("failed_at", BigInteger, nullable=False, doc="when it was recorded"),
)

response_codes = table(
    "response_codes",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the vendor's app and code"),
    Column(
        "part_id",
        Key(PART_ID),
        nullable=False,
        doc="the part that sent the card; the update's part if the application gave the code",
    ),
    Column("source", Key(12), nullable=False, doc="send, callback, or given by the application"),
    Column("code", LongText(), nullable=False, doc="the vendor's response_code"),
    Column("state", Key(8), nullable=False, doc="fresh, leased, spent, burned"),
    Column("leased_by", Key(PART_ID), doc="the update's part that has leased or used it; null while fresh"),
    Column("issued_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("ends_at", BigInteger, nullable=False, doc="issued_at + 72 h (a setting)"),
    Column("person", Key(128), doc="the person whose press brought it, in lower case; null: not from a press"),
    Index(PREFIX + "response_codes_part", "part_id"),
    partial("response_codes_leased", "leased_by", where="state = 'leased'"),
)

task_ids = table(
    "task_ids",
    Column("account", Key(60), primary_key=True, doc="the account's name"),
    Column(
        "task_id",
        Key(128),
        primary_key=True,
        doc="the task_id of a card if the caller chose it (the worker's own contain the part's id), or a msgid",
    ),
    Column(
        "part_id",
        Key(PART_ID),
        primary_key=True,
        doc="the part that sends it; a part that was refused may have the same task_id",
    ),
    Index(PREFIX + "task_ids_part", "part_id"),
)

confirmations = table(
    "confirmations",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part that created the task"),
    Column("member", Key(128), primary_key=True, doc="the member who was asked to send"),
    Column("recipient", Key(128), primary_key=True, doc="the customer or customer group; empty: the member's own task"),
    Column(
        "status",
        SmallInteger,
        nullable=False,
        doc="the vendor's 0 waiting, 1 sent, 2 no friend, 3 quota spent; of a task 0 waiting, 2 done",
    ),
    Column("happened_at", BigInteger, doc="when the vendor says it was sent"),
    Column("seen_at", BigInteger, nullable=False, doc="when it was last read"),
)

# -- callbacks of vendors: chats, inbound events, and the events for the application's hooks ---------------------------

chats = table(
    "chats",
    Column("account", Key(60), primary_key=True),
    Column("chat_id", Key(128), primary_key=True, doc="the id by which a send names the chat"),
    Column("chat_type", Key(20), nullable=False, doc="single, group, blackboard, as the vendor says"),
    Column("person", Key(128), doc="for a single chat its member, in lower case; null for others"),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("gone_at", BigInteger, doc="when the account was removed from the chat; null: it is in the chat"),
    from_zero("allowance", "messages that a single chat still allows until its member writes again"),
    Column("told_at", BigInteger, doc="instant of the newest callback about it, by the vendor's clock; null: none yet"),
    partial("chats_person", "account", "person", where="person is not null"),
)

inbound = table(
    "inbound",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the account and of what identifies the event"),
    Column("account", Key(60), nullable=False, doc="the account whose callback address received it"),
    Column("event", Key(80), nullable=False, doc="the vendor's name of the event, or `message:<MsgType>`"),
    Column("person", Key(128), nullable=False, doc="as the vendor writes it; empty when no person caused it"),
    Column("payload", LongText(), nullable=False, doc="JSON of the whole callback; contains personal data"),
    Column("happened_at", BigInteger, nullable=False, doc="by the vendor's clock, in whole seconds"),
    Column("received_at", BigInteger, nullable=False, doc="when it was stored; retention counts from here"),
    Column("stored_by", Key(ID), nullable=False, doc="id of the delivery that was stored, and of its event"),
    Column("part_id", Key(PART_ID), doc="the part whose card was pressed; null: no card, or not sent by the worker"),
    Index(PREFIX + "inbound_received", "received_at"),
)

events = table(
    "events",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("kind", Key(20), nullable=False, doc="card_action, job_done, tag_done, message, callback"),
    Column("job_id", Key(ID), doc="the job that it is about; null: none"),
    Column("part_id", Key(PART_ID), doc="the part whose card was pressed; null for job_done"),
    Column("inbound_id", Key(64), doc="the callback that brought it; null for job_done"),
    Column("job_state", SmallInteger, doc="JobState in which the job ended; 0 for tag_done; null for the others"),
    Column("state", SmallInteger, nullable=False, doc="EventState"),
    Column("due_at", BigInteger, doc="waiting: earliest next run; null in every other state"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last run; its result matches on it"),
    from_zero("tries", "runs that began"),
    Column("holder", Key(ID), doc="the process incarnation that runs it; null unless running"),
    Column(
        "error", LongText(), doc="class and code lines of the last run's error, without its text; null: none failed"
    ),
    Column("created_at", BigInteger, nullable=False, doc="when it was written, together with its cause"),
    Column("started_at", BigInteger, doc="when the last run began; null before the first"),
    Column("ended_at", BigInteger, doc="when it was done, parked or ignored; null before"),
    Column("tag", Key(100), doc="for tag_done the tag whose jobs have all ended; null for the others"),
    Column("counts", LongText(), doc="for tag_done JSON with the results of its jobs; null for the others"),
    Index(PREFIX + "events_job", "job_id"),
    partial("events_due", "due_at", "id", where="state = 0"),
    partial("events_first", "job_state", "due_at", "id", where="state = 0"),
    partial("events_running", "holder", where="holder is not null"),
    partial("events_tag", "tag", "id", where="tag is not null"),
    only_partial("events_parked", "id", where="state = 3"),
    by_state("events_parked", "id"),
)

# -- content: files and their media_ids, stored bodies, and windows of the duplicate check -----------------------------

media = table(
    "media",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of scope, upload type, content (or URL) and display name"),
    Column("scope", Key(100), nullable=False, doc="who can use the media_id, e.g. the corp"),
    Column("upload_type", Key(20), nullable=False, doc="image, voice, video, file"),
    Column("job_id", Key(ID), nullable=False, doc="the newest upload job for it"),
    Column("media_id", LongText(), doc="the vendor's media_id, or a picture's URL; null while the upload is open"),
    Column(
        "valid_until", BigInteger, doc="when the worker stops using it; null while the upload is open, and if it failed"
    ),
    Column("created_at", BigInteger, nullable=False, doc="when the first send needed it"),
    Index(PREFIX + "media_job", "job_id"),
)

blobs = table(
    "blobs",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column(
        "sha256",
        Key(64),
        nullable=False,
        index=True,
        doc="of the content; not unique, so that no insert waits for another",
    ),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
)

blob_chunks = table(
    "blob_chunks",
    Column("blob_id", Key(ID), primary_key=True, doc="the blob"),
    Column("n", Integer, primary_key=True, autoincrement=False, doc="0, 1, ..."),
    Column("data", Chunk(), nullable=False, doc="at most 1 MiB"),
)

blob_uses = table(
    "blob_uses",
    Column("job_id", Key(ID), primary_key=True, doc="a job whose message uses the file"),
    Column("blob_id", Key(ID), primary_key=True, doc="the blob; it is deleted when no job uses it any more"),
    Index(PREFIX + "blob_uses_blob", "blob_id"),
)

bodies = table(
    "bodies",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("body", LongText(), nullable=False, doc="the JSON bytes of the first call, sent again by every repeat"),
    Column("window_id", Key(64), doc="the duplicate window of the first call; null for a card"),
    Column("frozen_at", BigInteger, nullable=False, doc="the first mark"),
)

duplicates = table(
    "duplicates",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the vendor's app and the body without the flag fields"),
    Column("owner", Key(PART_ID), nullable=False, doc="the part whose call opened the window"),
    Column("until", BigInteger, nullable=False, doc="end of the vendor's window after the last send of this body"),
    Column("others_since", BigInteger, doc="first send of this body by another part; null: only the owner has sent it"),
)

# -- people: accounts they store, what they did, their sessions, and alerts to them ------------------------------------

accounts = table(
    "accounts",
    Column("name", Key(60), primary_key=True, doc="the account's name"),
    Column("version", Key(ID), nullable=False, doc="UUIDv7, new with each change"),
    Column("settings", LongText(), nullable=False, doc='JSON, as in [accounts.NAME]; {"sealed": PATH} for a secret'),
    Column("sealed", LongText(), doc="JSON: path -> secret, encrypted with the site's seal key; null: no secret"),
    Column("changed_at", BigInteger, nullable=False, doc="the database's clock at the last change"),
)

audit = table(
    "audit",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("action", Key(20), nullable=False, doc="the command, such as resolve"),
    Column("person", Key(128), nullable=False, doc="who gave it: the system's user, or another name that was given"),
    Column("why", Key(300), nullable=False, doc="the person's own words"),
    Column("asked", LongText(), nullable=False, doc="JSON of the command's filter and arguments"),
    Column("counts", LongText(), nullable=False, doc="JSON: result -> how many parts so far"),
    Column("began_at", BigInteger, nullable=False, doc="before the first change"),
    Column("ended_at", BigInteger, doc="after the last change; null: it is running, or was interrupted"),
)

sessions = table(
    "sessions",
    Column("id", Key(64), primary_key=True, doc="SHA-256, in hex, of the token in the browser's cookie"),
    Column("person", Key(128), nullable=False, doc="who has signed in, as named in the audit"),
    Column("way", Key(20), nullable=False, doc="how: `password`, `oidc` or `link`"),
    Column("proof", Key(64), doc="SHA-256, in hex, of the stored hash of the password; null: they came another way"),
    Column("created_at", BigInteger, nullable=False, doc="when they signed in"),
    Column("seen_at", BigInteger, nullable=False, doc="when it was last used, to the minute"),
    Column("ends_at", BigInteger, nullable=False, doc="when it ends, however often it is used"),
)

sign_ins = table(
    "sign_ins",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("subject", Key(64), nullable=False, doc="SHA-256 of the name that was given, or of the address, in hex"),
    Column(
        "tried_at", BigInteger, nullable=False, doc="before the password is checked; the row is deleted if it is right"
    ),
    Index(PREFIX + "sign_ins_subject", "subject", "tried_at"),
)

alerts = table(
    "alerts",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("alert", Key(40), nullable=False, doc="the alert's name, such as `AccountParked`"),
    Column("subject", Key(200), nullable=False, doc="the account, channel, queue or process; empty: the installation"),
    Column("seen_at", BigInteger, nullable=False, doc="when its cause was first seen; it has been there since"),
    Column("gone_at", BigInteger, doc="when its cause was over; null: it is still there"),
    Column("raised_at", BigInteger, doc="when people were notified of it; null: not yet"),
    Column("ended_at", BigInteger, doc="when people were notified of its end; null: not yet"),
    Column("job_id", Key(ID), doc="the job that sent the last notice about it; null: none, or it went to a URL"),
)


def include_object(obj: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """For the application's own Alembic `env.py`: leaves our tables out of its autogenerate."""
    table = name if type_ == "table" else getattr(getattr(obj, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)
