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
    optional,
    partial,
    primary,
    required,
    table,
)

VERSION_TABLE = PREFIX + "alembic_version"

# -- jobs, their parts, the orders in which parts wait, and the terms by which jobs are found --------------------------

jobs = table(
    "jobs",
    primary("id", Key(ID), "UUIDv7 made by the producer"),
    required("kind", Key(40), "send, recall, upload, update_card; open text"),
    required("channel", Key(40), "the account's channel at enqueue"),
    required("account", Key(60), "the account's name in the settings"),
    required("message", LongText(), "JSON message document; `{}` for a job without one (recall)"),
    required("recipients", LongText(), "JSON of all recipients"),
    required("asked", Integer, "how many recipient ids there are"),
    required("priority", SmallInteger, "0 urgent, 1 normal, 2 bulk"),
    required("due_at", BigInteger, "nothing is sent before this instant; only a person changes it"),
    optional("expires_at", BigInteger, "null: never expires"),
    optional("dedupe_key", Key(200), "set by the producer; unique per account while the row exists; null: none"),
    optional("content_hash", Key(64), "SHA-256 of kind, message, recipients; null without dedupe_key"),
    optional(
        "order_key", Key(200), "parts of an account's jobs with the same key are sent one by one; null: unordered"
    ),
    optional("tags", LongText(), "JSON list of tags, chosen by the producer; null: none"),
    required("on_unknown", Key(12), "default, hold, resend"),
    optional(
        "target_job_id", Key(ID), "the job that a recall, card update or other follow-up is about; null for other jobs"
    ),
    optional(
        "replay_of", Key(ID), "the original that this job replays, also if a replay was replayed; null: an original"
    ),
    optional("warnings", LongText(), "JSON list of the warnings at enqueue; null: none"),
    required("created_at", BigInteger, "the database's clock at the insert"),
    from_zero("state", "JobState, computed from the counters", SmallInteger),
    optional("finished_at", BigInteger, "when the last part was no longer open; null while one is open"),
    Column("awaited", Boolean, nullable=False, server_default=text("false"), doc="a follow-up waits for this job"),
    from_zero("n_open", "parts queued or sending"),
    from_zero("n_accepted", "parts accepted"),
    from_zero("n_partial", "parts partial"),
    from_zero("n_rejected", "parts rejected"),
    from_zero("n_exhausted", "parts exhausted"),
    from_zero("n_unknown", "parts unknown"),
    from_zero("n_expired", "parts expired"),
    from_zero("n_cancelled", "parts cancelled"),
    optional(
        "on_gap", Key(4), "wait or skip: whether its order stops when one part is held or exhausted; null: unordered"
    ),
    optional("cancelled_at", BigInteger, "when it was cancelled before all of it was sent; null: never"),
    optional("quiet_hours", Key(80), "the job's own quiet hours, or `none`; null: those of its account"),
    from_zero("payload", "version of its message, recipients and specs, see `NEWEST_PAYLOAD`", SmallInteger),
    optional("tenant", Key(60), "the team that shares the account's limits with others; null: none"),
    optional(
        "trace",
        Key(CONTEXT_CHARACTERS),
        "its producer's traceparent, and after a space the tracestate; null: no span was current",
    ),
    partial("jobs_dedupe", "account", "dedupe_key", where="dedupe_key is not null", unique=True),
    partial("jobs_target", "target_job_id", where="target_job_id is not null"),
    partial("jobs_replay", "replay_of", where="replay_of is not null"),
)

parts = table(
    "parts",
    primary("id", Key(PART_ID), "`<job id>-<n>`"),
    required("job_id", Key(ID), "the job"),
    required("n", Integer, "0, 1, ... inside the job"),
    required(
        "lane",
        Key(LANE),
        "account name, colon, keyed hash of the lane within the account; for a tenant a dot and its hash",
    ),
    required("priority", SmallInteger, "the job's"),
    from_zero("state", "PartState", SmallInteger),
    optional(
        "not_before",
        BigInteger,
        "queued: earliest next mark; unknown: time of the repeat or search; null: held for a person, or ended",
    ),
    optional("expires_at", BigInteger, "the job's"),
    optional("offered_until", BigInteger, "in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last mark, or of the last deferral of recipients; results match on it"),
    optional("incarnation", Key(ID), "the process incarnation that marked it last; null before the first mark"),
    optional("marked_at", BigInteger, "instant of the last mark; null before the first"),
    optional("first_marked_at", BigInteger, "instant of the first mark; null before it"),
    optional("deadline_at", BigInteger, "when the last call must have ended; null before the first mark"),
    from_zero("tries", "calls that counted as attempts", SmallInteger),
    from_zero("busy", "answers -1 so far", SmallInteger),
    from_zero("repeats", "calls made while in doubt", SmallInteger),
    from_zero("doubts", "attempts without a readable answer", SmallInteger),
    from_zero("unheard", "marks whose call sent nothing, or was refused before the vendor looked at the message"),
    optional("flagged", Boolean, "the duplicate check was on in the last call; null before the first mark"),
    optional("waits_on", Key(ID), "the job that this part waits for; null: none"),
    required("spec", LongText(), "JSON of what this part sends (recipients, task_id, msgid, targets, fetched file)"),
    optional(
        "reason",
        Key(300),
        "why it waits or how it ended, in our words and the vendor's codes, for people; null: no reason",
    ),
    optional("order_id", Key(ID), "its order: hash of account and order_key; null: unordered"),
    optional("limit_name", Key(40), "the limit that it waits for; null: waits for none"),
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
    primary("part_id", Key(PART_ID), "an ordered part that still blocks later parts of its order"),
    required("order_id", Key(ID), "the part's order"),
    required("place_at", BigInteger, "the job's due_at, at least 1; 0 after its first mark, so that it comes first"),
    required("job_id", Key(ID), "the job; decides between parts that are due at the same instant"),
    required("n", Integer, "the part's"),
    required("skips", Boolean, "the order goes on if this part is held, exhausted or parked"),
    Index(PREFIX + "order_queue_next", "order_id", "place_at", "job_id", "n"),
)

orders = table(
    "orders",
    primary("id", Key(ID), "an order with parts in its queue; who decides about them locks this row"),
)

unindexed = table(
    "unindexed",
    primary("job_id", Key(ID), "a job that ended and whose terms have to be written"),
    required("note", Key(ID), "id of the last commit that wrote this row"),
)

ended_tags = table(
    "ended_tags",
    primary("tag", Key(100), "a tag of jobs that ended, for which a worker has a hook"),
    required("note", Key(ID), "id of the last indexing that wrote this row"),
    required("ended_at", BigInteger, "when the last of its jobs ended that was indexed"),
    optional("check_at", BigInteger, "when to check whether all have ended; null: an event reported that they have"),
    optional("witness", Key(ID), "a job with the tag that was open at the last check; null: none yet"),
    optional("reported_at", BigInteger, "when an event reported that none of its jobs was open; null: never"),
    Index(PREFIX + "ended_tags_check", "check_at", "reported_at"),
)

terms = table(
    "terms",
    primary("term", Key(12), "keyed hash of a field and its value, see `domain/job_terms.py`"),
    primary("job_id", Key(ID), "a job that has ended"),
    Index(PREFIX + "terms_job", "job_id"),
)

# -- what allows or holds back calls, what is made once for an installation, and what is counted -----------------------

lanes = table(
    "lanes",
    primary("lane", Key(LANE), "a lane's key, or an account's name for all of its lanes"),
    required("account", Key(60), "the account's name"),
    required("label", Key(100), "readable, for the command line: `send/text`"),
    required("blocked_until", BigInteger, "nothing is offered or marked before this instant"),
    required("reason", Key(300), "why, in our words and codes, for people"),
    optional("remedy", Key(300), "what a person must do; null when time alone heals it"),
    required("parked", Boolean, "true: a person must act; blocked_until is the next probe"),
    optional("cause", Key(20), "what ends the block: token, chat, allowance; null: time or a person"),
    optional("limit_name", Key(40), "the limit in our settings that is used up; null: blocked for another reason"),
    required("blocked_at", BigInteger, "when the block was written; 0: never blocked"),
    optional("hint", Key(80), "the vendor's trace number of the answer that blocked it; null without one"),
    from_zero("step", "answers 45009 since the last success", SmallInteger),
    from_zero("struck_until", "end of the block after the last 45009; only calls marked later count", BigInteger),
    optional("calls", Integer, "calls that may be in flight in all processes together; null: no limit"),
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
    primary("id", Key(ID), "UUIDv7"),
    required("lane", Key(LANE), "a lane's key, or an account's name; empty: about no lane"),
    required("account", Key(60), "the account's name; empty: about no account"),
    required("label", Key(100), "readable, as in `lanes`"),
    required("what", Key(20), "the kind of event, such as struck, parked, breaker opened"),
    required("reason", Key(300), "why, in our words and codes"),
    optional("remedy", Key(300), "what a person must do; null when time alone heals it"),
    optional("hint", Key(80), "the vendor's trace number; null without one"),
    optional("until", BigInteger, "when the block ends or the next probe is due; null: nothing is blocked"),
    required("happened_at", BigInteger, "when it was written, together with the answer that caused it"),
)

budgets = table(
    "budgets",
    primary("id", Key(64), "keyed hash of limit name, window and subject"),
    required("buckets", LongText(), "JSON list of [slot, used, until]"),
    required("updated_at", BigInteger, "last reservation; old rows are purged by it"),
)

tokens = table(
    "tokens",
    primary("account", Key(60), "the account's name"),
    primary("fingerprint", Key(64), "keyed hash of the credentials"),
    optional(
        "sealed", LongText(), "the token, encrypted with a key derived from the secret; null before the first fetch"
    ),
    required("generation", Integer, "number of the token; a refusal names its token by it"),
    optional("fetched_at", BigInteger, "null before the first fetch"),
    optional("expires_at", BigInteger, "null before the first fetch; in the past when the vendor refused it"),
    optional("lease_holder", Key(ID), "the process that is fetching; null: none"),
    optional("lease_until", BigInteger, "end of that lease; null: none"),
    optional("refused", Key(300), "why the vendor refused the credentials; null: it did not"),
    optional("probe_at", BigInteger, "next probe after a refusal; or end of a probation; null: neither"),
)

grants = table(
    "grants",
    primary("kind", Key(20), "ticket, auth_code or code"),
    primary("account", Key(60), "the account whose callbacks brought the credential"),
    primary(
        "subject",
        Key(128),
        "whose it is: the corp's id for a code, a keyed hash for an auth_code; empty: the account's own",
    ),
    optional("sealed", LongText(), "encrypted with a key derived from the account's secret; null: it was withdrawn"),
    required("issued_at", BigInteger, "the vendor's instant, but not later than stored_at; the newest wins"),
    optional("ends_at", BigInteger, "until when it is valid; null: no end"),
    required("stored_at", BigInteger, "when it was stored or withdrawn"),
    optional(
        "lease_until", BigInteger, "for an auth_code: no process exchanges it before this instant; null: none has tried"
    ),
)

pauses = table(
    "pauses",
    primary("id", Key(ID), "UUIDv7"),
    optional("account", Key(60), "only jobs of this account; null: of any"),
    optional("channel", Key(40), "only jobs of this channel; null: of any"),
    optional("kind", Key(40), "only jobs of this kind; null: of any but recalls"),
    optional("tag", Key(100), "only jobs with this tag; null: with any or none"),
    optional("job_id", Key(ID), "only this job; null: all jobs that match the other columns"),
    required(
        "parked_until", BigInteger, "the `not_before` of parts that wait for it: far away, and unique to this pause"
    ),
    required("person", Key(128), "who paused: the system's user, or another name that was given"),
    required("why", Key(300), "the person's own words"),
    required("began_at", BigInteger, "the database's clock at the insert"),
    optional(
        "ended_at",
        BigInteger,
        "when a person ended it; null: it is active. The row stays for an hour, for the parts that wait for it",
    ),
    Index(PREFIX + "pauses_job", "job_id"),
)

processes = table(
    "processes",
    primary("id", Key(ID), "the incarnation, random"),
    required("alive_until", BigInteger, "renewed every 3 s for 10 s"),
    required("started_at", BigInteger, "the first heartbeat of its process, also under an earlier incarnation"),
    optional("ended_at", BigInteger, "when it ended cleanly, or was counted as dead; null while alive"),
    required("threads", Integer, "sender threads"),
    required("host", Key(100), "for people"),
    required("pid", Integer, "for people"),
    required("lanes", LongText(), "JSON: lane -> calls in flight and latency"),
    optional("queues", Key(100), "the queues it consumes, separated by commas; null: all"),
    optional("unusable", LongText(), "JSON: account -> why it cannot use it; null: none"),
    optional("version", Key(40), "version of the package; null: an earlier release, which does not write it"),
    optional("revision", Key(32), "the newest revision of the tables in its release; null with `version`"),
    optional("health", LongText(), "JSON list of its problems, as it reports them itself; null: none"),
    optional(
        "hooks",
        LongText(),
        "JSON: the decorators of its hooks; account (empty: every account) -> JobStates in which a job's end has a hook"
        " there; tags, or their beginnings with `*`, for whose end it has one. Null: it has no hook",
    ),
    optional(
        "hindered",
        LongText(),
        "JSON: lease -> why it cannot do that work, although a restart would not help; null: none",
    ),
    # Each commit that ends a job reads the hooks of the processes that are alive, however many have ended.
    Index(PREFIX + "processes_ended", "ended_at"),
)

leases = table(
    "leases",
    primary("name", Key(40), "the work that the lease is for, such as `relay` or `recovery`"),
    required("holder", Key(ID), "the process incarnation"),
    required(
        "held_until", BigInteger, "end of the lease, renewed by its holder; in the past if the holder fails at the work"
    ),
)

site = table(
    "site",
    primary("name", Key(40), "`lane_key`, `compatible_from` or `accounts`"),
    required(
        "value",
        Key(200),
        "made by `db upgrade`: random hex that keys the hashes; the revision and the oldest that may use it;"
        " a text that is another one after each change of an account",
    ),
)

counts = table(
    "counts",
    primary("id", Key(ID), "UUIDv7"),
    required("counts", LongText(), "JSON: name -> what has to be added to `totals`"),
    optional("exemplars", LongText(), "JSON: bucket's name -> a traced call in it; null: none was traced"),
)

totals = table(
    "totals",
    primary("name", Key(300), "a counter and the values of its labels, with tabs between them"),
    required("value", BigInteger, "the sum of all counts; times are in microseconds"),
    optional("exemplar", Key(200), "JSON of the newest traced call in this bucket; null: none"),
)

rates = table(
    "rates",
    Column("length_us", BigInteger, primary_key=True, autoincrement=False, doc="a minute or a quarter of an hour"),
    Column("began_at", BigInteger, primary_key=True, autoincrement=False, doc="when it began, by the ids of `counts`"),
    primary("account", Key(60), "the account's name"),
    required("accepted", BigInteger, "calls that the vendor accepted, for all recipients or for some"),
    required("refused", BigInteger, "calls that the vendor answered but did not accept"),
    required("unanswered", BigInteger, "calls without a readable answer, or that could not be made"),
)

# -- results of calls: every attempt, and what the vendor returned or refused ------------------------------------------

attempts = table(
    "attempts",
    primary("part_id", Key(PART_ID), "the part"),
    Column(
        "claim", Integer, primary_key=True, autoincrement=False, doc="number of the mark that the call was made under"
    ),
    required("incarnation", Key(ID), "the process that made it"),
    required(
        "outcome", Key(20), "name of the outcome, such as accepted or unknown; after a late answer it is still unknown"
    ),
    required("doubtful", Boolean, "there is no readable answer yet"),
    optional(
        "reason",
        Key(300),
        "the reason in our words; null when accepted; after a late answer it is still that of the doubt",
    ),
    optional("http_status", SmallInteger, "null without an answer"),
    optional("errcode", BigInteger, "the vendor's errcode; null without a readable answer"),
    optional("errmsg", LongText(), "the vendor's text, cleaned and redacted; null without one"),
    optional("hint", Key(80), "the vendor's trace number; null without one"),
    optional("caller_ip", Key(60), "our address as the vendor saw it; null if the answer does not say"),
    Column(
        "unseen",
        Boolean,
        nullable=False,
        server_default=text("false"),
        doc="the vendor refused it before it looked at the message (token, address, limit)",
    ),
    required("flagged", Boolean, "the duplicate check was on"),
    optional("duration_ms", Integer, "duration of the call; null if it did not end, because its process died"),
    required("started_at", BigInteger, "instant of the mark"),
    required(
        "ended_at",
        BigInteger,
        "when the answer, the doubt or the process's death was recorded; a late answer does not change it",
    ),
)

waits = table(
    "waits",
    primary("part_id", Key(PART_ID), "the part"),
    primary("reason", Key(100), "what it waits for, in our words and the vendor's codes"),
    required("began_at", BigInteger, "when it last began to wait for this reason"),
)

receipts = table(
    "receipts",
    primary("part_id", Key(PART_ID), "the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the call that brought it"),
    optional("msgid", LongText(), "the vendor's msgid; null if it gives none"),
    optional("media_id", LongText(), "the media_id of an upload; null for other calls"),
    required("accepted_at", BigInteger, "when it was recorded"),
    optional("recalled_at", BigInteger, "when a recall of it was accepted; null: not recalled"),
    required("from_repeat", Boolean, "only the answer to a repeat proves that the vendor accepted it"),
    required("not_sent", Boolean, "accepted without a call"),
    optional(
        "warning", LongText(), "that an id is missing or a repeat may be dropped, or the vendor's own; null: none"
    ),
    optional(
        "extra",
        LongText(),
        "JSON of what else the vendor gave: `url`, `chatid`, `type` and `created_at` of an upload; null: nothing",
    ),
)

failures = table(
    "failures",
    primary("part_id", Key(PART_ID), "the part"),
    primary("kind", Key(12), "user, party, tag"),
    primary("recipient_key", Key(128), "the recipient in lower case"),
    required("recipient", Key(128), "as the producer wrote it"),
    required("field", Key(40), "the vendor's list that names the recipient, such as invaliduser"),
    required("errcode", BigInteger, "the vendor's errcode; 0 if the other recipients were accepted"),
    required("failed_at", BigInteger, "when it was recorded"),
)

response_codes = table(
    "response_codes",
    primary("id", Key(64), "SHA-256 of the vendor's app and code"),
    required(
        "part_id", Key(PART_ID), "the part that sent the card; the update's part if the application gave the code"
    ),
    required("source", Key(12), "send, callback, or given by the application"),
    required("code", LongText(), "the vendor's response_code"),
    required("state", Key(8), "fresh, leased, spent, burned"),
    optional("leased_by", Key(PART_ID), "the update's part that has leased or used it; null while fresh"),
    required("issued_at", BigInteger, "when it was recorded"),
    required("ends_at", BigInteger, "issued_at + 72 h (a setting)"),
    optional("person", Key(128), "the person whose press brought it, in lower case; null: not from a press"),
    Index(PREFIX + "response_codes_part", "part_id"),
    partial("response_codes_leased", "leased_by", where="state = 'leased'"),
)

task_ids = table(
    "task_ids",
    primary("account", Key(60), "the account's name"),
    primary(
        "task_id",
        Key(128),
        "the task_id of a card if the caller chose it (the worker's own contain the part's id), or a msgid",
    ),
    primary("part_id", Key(PART_ID), "the part that sends it; a part that was refused may have the same task_id"),
    Index(PREFIX + "task_ids_part", "part_id"),
)

confirmations = table(
    "confirmations",
    primary("part_id", Key(PART_ID), "the part that created the task"),
    primary("member", Key(128), "the member who was asked to send"),
    primary("recipient", Key(128), "the customer or customer group; empty: the member's own task"),
    required(
        "status",
        SmallInteger,
        "the vendor's 0 waiting, 1 sent, 2 no friend, 3 quota spent; of a task 0 waiting, 2 done",
    ),
    optional("happened_at", BigInteger, "when the vendor says it was sent"),
    required("seen_at", BigInteger, "when it was last read"),
)

# -- callbacks of vendors: chats, inbound events, and the events for the application's hooks ---------------------------

chats = table(
    "chats",
    Column("account", Key(60), primary_key=True),
    primary("chat_id", Key(128), "the id by which a send names the chat"),
    required("chat_type", Key(20), "single, group, blackboard, as the vendor says"),
    optional("person", Key(128), "for a single chat its member, in lower case; null for others"),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    optional("gone_at", BigInteger, "when the account was removed from the chat; null: it is in the chat"),
    from_zero("allowance", "messages that a single chat still allows until its member writes again"),
    optional("callback_at", BigInteger, "time of the newest callback about it, by the vendor's clock; null: none yet"),
    partial("chats_person", "account", "person", where="person is not null"),
)

inbound = table(
    "inbound",
    primary("id", Key(64), "SHA-256 of the account and of what identifies the event"),
    required("account", Key(60), "the account whose callback address received it"),
    required("event", Key(80), "the vendor's name of the event, or `message:<MsgType>`"),
    required("person", Key(128), "as the vendor writes it; empty when no person caused it"),
    required("payload", LongText(), "JSON of the whole callback; contains personal data"),
    required("happened_at", BigInteger, "by the vendor's clock, in whole seconds"),
    required("received_at", BigInteger, "when it was stored; retention counts from here"),
    required("stored_by", Key(ID), "id of the delivery that was stored, and of its event"),
    optional("part_id", Key(PART_ID), "the part whose card was pressed; null: no card, or not sent by the worker"),
    Index(PREFIX + "inbound_received", "received_at"),
)

events = table(
    "events",
    primary("id", Key(ID), "UUIDv7"),
    required("kind", Key(20), "card_action, job_done, tag_done, message, callback"),
    optional("job_id", Key(ID), "the job that it is about; null: none"),
    optional("part_id", Key(PART_ID), "the part whose card was pressed; null for job_done"),
    optional("inbound_id", Key(64), "the callback that brought it; null for job_done"),
    optional("job_state", SmallInteger, "JobState in which the job ended; 0 for tag_done; null for the others"),
    required("state", SmallInteger, "EventState"),
    optional("due_at", BigInteger, "waiting: earliest next run; null in every other state"),
    optional("offered_until", BigInteger, "in the broker until then, as far as we know; null: not offered"),
    from_zero("claim", "number of the last run; its result matches on it"),
    from_zero("tries", "runs that began"),
    optional("holder", Key(ID), "the process incarnation that runs it; null unless running"),
    optional("error", LongText(), "class and code lines of the last run's error, without its text; null: none failed"),
    required("created_at", BigInteger, "when it was written, together with its cause"),
    optional("started_at", BigInteger, "when the last run began; null before the first"),
    optional("ended_at", BigInteger, "when it was done, parked or ignored; null before"),
    optional("tag", Key(100), "for tag_done the tag whose jobs have all ended; null for the others"),
    optional("counts", LongText(), "for tag_done JSON with the results of its jobs; null for the others"),
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
    primary("id", Key(64), "SHA-256 of scope, upload type, content (or URL) and display name"),
    required("scope", Key(100), "who can use the media_id, e.g. the corp"),
    required("upload_type", Key(20), "image, voice, video, file"),
    required("job_id", Key(ID), "the newest upload job for it"),
    optional("media_id", LongText(), "the vendor's media_id, or a picture's URL; null while the upload is open"),
    optional(
        "valid_until", BigInteger, "when the worker stops using it; null while the upload is open, and if it failed"
    ),
    required("created_at", BigInteger, "when the first send needed it"),
    Index(PREFIX + "media_job", "job_id"),
)

blobs = table(
    "blobs",
    primary("id", Key(ID), "UUIDv7"),
    Column(
        "sha256",
        Key(64),
        nullable=False,
        index=True,
        doc="of the content; not unique, so that no insert waits for another",
    ),
    required("size", BigInteger, "bytes"),
    required("created_at", BigInteger, "the database's clock at the insert"),
)

blob_chunks = table(
    "blob_chunks",
    primary("blob_id", Key(ID), "the blob"),
    Column("n", Integer, primary_key=True, autoincrement=False, doc="0, 1, ..."),
    required("data", Chunk(), "at most 1 MiB"),
)

blob_uses = table(
    "blob_uses",
    primary("job_id", Key(ID), "a job whose message uses the file"),
    primary("blob_id", Key(ID), "the blob; it is deleted when no job uses it any more"),
    Index(PREFIX + "blob_uses_blob", "blob_id"),
)

bodies = table(
    "bodies",
    primary("part_id", Key(PART_ID), "the part"),
    required("body", LongText(), "the JSON bytes of the first call, sent again by every repeat"),
    optional("window_id", Key(64), "the duplicate window of the first call; null for a card"),
    required("frozen_at", BigInteger, "the first mark"),
)

duplicates = table(
    "duplicates",
    primary("id", Key(64), "SHA-256 of the vendor's app and the body without the flag fields"),
    required("owner", Key(PART_ID), "the part whose call opened the window"),
    required("until", BigInteger, "end of the vendor's window after the last send of this body"),
    optional("others_since", BigInteger, "first send of this body by another part; null: only the owner has sent it"),
)

# -- people: accounts they store, what they did, their sessions, and alerts to them ------------------------------------

accounts = table(
    "accounts",
    primary("name", Key(60), "the account's name"),
    required("version", Key(ID), "UUIDv7, new with each change"),
    required("settings", LongText(), 'JSON, as in [accounts.NAME]; {"sealed": PATH} for a secret'),
    optional("sealed", LongText(), "JSON: path -> secret, encrypted with the site's seal key; null: no secret"),
    required("changed_at", BigInteger, "the database's clock at the last change"),
)

audit = table(
    "audit",
    primary("id", Key(ID), "UUIDv7"),
    required("action", Key(20), "the command, such as resolve"),
    required("person", Key(128), "who gave it: the system's user, or another name that was given"),
    required("why", Key(300), "the person's own words"),
    required("asked", LongText(), "JSON of the command's filter and arguments"),
    required("counts", LongText(), "JSON: result -> how many parts so far"),
    required("began_at", BigInteger, "before the first change"),
    optional("ended_at", BigInteger, "after the last change; null: it is running, or was interrupted"),
    required("seen_at", BigInteger, "last sign of life of its process, every 15 s; 0: it ended in an error"),
)

sessions = table(
    "sessions",
    primary("id", Key(64), "SHA-256, in hex, of the token in the browser's cookie"),
    required("person", Key(128), "who has signed in, as named in the audit"),
    required("way", Key(20), "how: `password`, `oidc` or `link`"),
    optional("proof", Key(64), "SHA-256, in hex, of the stored hash of the password; null: they came another way"),
    required("created_at", BigInteger, "when they signed in"),
    required("seen_at", BigInteger, "when it was last used, to the minute"),
    required("ends_at", BigInteger, "when it ends, however often it is used"),
)

sign_ins = table(
    "sign_ins",
    primary("id", Key(ID), "UUIDv7"),
    required("subject", Key(64), "SHA-256 of the name that was given, or of the address, in hex"),
    required("tried_at", BigInteger, "before the password is checked; the row is deleted if it is right"),
    Index(PREFIX + "sign_ins_subject", "subject", "tried_at"),
)

alerts = table(
    "alerts",
    primary("id", Key(ID), "UUIDv7"),
    required("alert", Key(40), "the alert's name, such as `AccountParked`"),
    required("subject", Key(200), "the account, channel, queue or process; empty: the installation"),
    required("seen_at", BigInteger, "when its cause was first seen; it has been there since"),
    optional("gone_at", BigInteger, "when its cause was over; null: it is still there"),
    optional("raised_at", BigInteger, "when people were notified of it; null: not yet"),
    optional("ended_at", BigInteger, "when people were notified of its end; null: not yet"),
    optional("job_id", Key(ID), "the job that sent the last notice about it; null: none, or it went to a URL"),
)


def include_object(obj: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """For the application's own Alembic `env.py`: leaves our tables out of its autogenerate."""
    table = name if type_ == "table" else getattr(getattr(obj, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)
