"""Rows that allow or hold back calls: lanes and their events, budgets of limits, tokens, pauses, processes and leases.

Beside them the values that are made once for an installation, and what its processes count for the metrics.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, SmallInteger

from worker.outbox.tables.columns import ID, LANE, PREFIX, Key, LongText, from_zero, table

lanes = table(
    "lanes",
    Column("lane", Key(LANE), primary_key=True, doc="a lane key, or an account's name for all of its lanes"),
    Column("account", Key(60), nullable=False, doc="the account's name"),
    Column("label", Key(100), nullable=False, doc="readable, for the command line: `send/text`"),
    Column("blocked_until", BigInteger, nullable=False, doc="nothing is offered or marked before this instant"),
    Column("reason", Key(300), nullable=False, doc="why, in our words and codes, for people"),
    Column("remedy", Key(300), doc="what a person must do; null when time alone heals it"),
    Column("parked", Boolean, nullable=False, doc="true: a person must act; blocked_until is the next probe"),
    Column("cause", Key(20), doc="what lifts the block when it comes: token, chat, allowance; null: time or a person"),
    Column("limit_name", Key(40), doc="the limit of ours that is used up; null: blocked for another reason"),
    Column("blocked_at", BigInteger, nullable=False, doc="when the block was written; 0: nothing ever was"),
    Column("hint", Key(80), doc="the vendor's trace number of the answer that blocked it; null without one"),
    from_zero("step", "45009s without a success in between", SmallInteger),
    from_zero("struck_until", "end of the last 45009's block; a call marked later is evidence", BigInteger),
    Column("calls", Integer, doc="calls that may be in the air, over all processes; null: no bound"),
    from_zero(
        "changed_at",
        "since when `calls` is so: a success of a call marked later doubles it; if null, since when they fail",
        BigInteger,
    ),
    from_zero("rest_s", "seconds between two growths of `calls`"),
    from_zero("failures", "calls in a row that say the vendor is ill; five open the breaker"),
)

lane_events = table(
    "lane_events",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("lane", Key(LANE), nullable=False, doc="a lane key, or an account's name; empty: of no lane"),
    Column("account", Key(60), nullable=False, doc="the account's name; empty: of none"),
    Column("label", Key(100), nullable=False, doc="readable, as in `lanes`"),
    Column("what", Key(20), nullable=False, doc="the step, such as struck, parked, breaker opened"),
    Column("reason", Key(300), nullable=False, doc="why, in our words and codes"),
    Column("remedy", Key(300), doc="what a person must do; null when time alone heals it"),
    Column("hint", Key(80), doc="the vendor's trace number; null without one"),
    Column("until", BigInteger, doc="when the block ends, or the next probe is due; null: nothing is blocked"),
    Column("happened_at", BigInteger, nullable=False, doc="when it was written, with the answer that brought it"),
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
        "sealed", LongText(), doc="the token, sealed with a key derived from the secret; null before the first fetch"
    ),
    Column("generation", Integer, nullable=False, doc="counts tokens; a refused token is named by it"),
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
    Column("account", Key(60), primary_key=True, doc="the account whose callbacks brought it"),
    Column(
        "subject",
        Key(128),
        primary_key=True,
        doc="whose it is: a corp's id of a code, a keyed hash of an auth_code; empty: the account's own",
    ),
    Column("sealed", LongText(), doc="sealed with a key derived from the account's secret; null: it was withdrawn"),
    Column("issued_at", BigInteger, nullable=False, doc="by the vendor, no later than it was stored; the newest wins"),
    Column("ends_at", BigInteger, doc="until when it is good; null: no end"),
    Column("stored_at", BigInteger, nullable=False, doc="when it was stored or withdrawn"),
    Column("lease_until", BigInteger, doc="of an auth_code: no process exchanges it before; null: none has tried"),
)

pauses = table(
    "pauses",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column("account", Key(60), doc="only jobs of this account; null: of any"),
    Column("channel", Key(40), doc="only jobs of this channel; null: of any"),
    Column("kind", Key(40), doc="only jobs of this kind; null: of any but recalls"),
    Column("tag", Key(100), doc="only jobs with this tag; null: with any or none"),
    Column("job_id", Key(ID), doc="only this job; null: all that have the rest"),
    Column("parked_until", BigInteger, nullable=False, doc="the `not_before` of its parts: far away, and its own"),
    Column("person", Key(128), nullable=False, doc="who paused: the system's user, or another name that was given"),
    Column("why", Key(300), nullable=False, doc="the person's own words"),
    Column("began_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
    Column(
        "ended_at", BigInteger, doc="when a person ended it; null: it stands. Kept an hour for what is parked on it"
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
    Column("ended_at", BigInteger, doc="clean end, or when it was found dead; null while alive"),
    Column("threads", Integer, nullable=False, doc="sender threads"),
    Column("host", Key(100), nullable=False, doc="for people"),
    Column("pid", Integer, nullable=False, doc="for people"),
    Column("lanes", LongText(), nullable=False, doc="JSON: lane -> calls in the air and latency"),
    Column("queues", Key(100), doc="queues it takes from, with commas; null: all"),
    Column("unusable", LongText(), doc="JSON: account -> why it cannot use it; null: none"),
    Column("version", Key(40), doc="the package's; null: an earlier release, which does not write it"),
    Column("revision", Key(32), doc="the newest revision of the tables that it knows; null with `version`"),
    Column("health", LongText(), doc="JSON list: what is wrong with it, as it judges itself; null: nothing"),
    Column(
        "hooked_ends",
        LongText(),
        doc="JSON: account (empty: every account) -> JobStates in which a job's end has a hook there; null: an earlier"
        " release, which does not write it",
    ),
    Column(
        "hindered",
        LongText(),
        doc="JSON object, lease to why it cannot do that work, though no restart would help; null: nothing",
    ),
)

leases = table(
    "leases",
    Column("name", Key(40), primary_key=True, doc="what is held, such as `relay` or `recovery`"),
    Column("holder", Key(ID), nullable=False, doc="the process incarnation"),
    Column("held_until", BigInteger, nullable=False, doc="renewed while held; past where the holder fails at the work"),
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
    Column("counts", LongText(), nullable=False, doc="JSON of name -> how much is to be added, see `totals`"),
    Column("exemplars", LongText(), doc="JSON of name of a bucket -> a traced call in it; null: none was traced"),
)

totals = table(
    "totals",
    Column("name", Key(300), primary_key=True, doc="a counter and the values of its labels, with tabs between them"),
    Column("value", BigInteger, nullable=False, doc="the sum of what was written; times are in microseconds"),
    Column("exemplar", Key(200), doc="JSON of the newest traced call in this bucket; null: none"),
)
