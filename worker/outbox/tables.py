"""The tables, column by column: where each value comes from and when it is null.

They live in the producer's database, so every name starts with `worker_`. Instants are integer microseconds UTC by
the database's clock. Ids are UUIDv7 as 32 hex digits, made by the producer; a part's id is `<job id>-<n>`, so all
parts of a job stand side by side in the primary key. No foreign keys: producers must never wait for a row that workers
update.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

PREFIX = "worker_"
VERSION_TABLE = PREFIX + "alembic_version"

metadata = MetaData()


_MARIADB = ("mysql", "mariadb")
_WITH_PARTIAL_INDEXES = ("postgresql", "sqlite")


class Key(TypeDecorator[str]):
    """Text that compares byte for byte on every database, trailing spaces included."""

    impl = String
    cache_ok = True

    def __init__(self, length: int):
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """The collation that does so, by its name there."""
        if dialect.name in _MARIADB:
            return mysql.VARCHAR(self.length, charset="utf8mb4", collation=byte_collation(dialect))
        return String(self.length, collation="C") if dialect.name == "postgresql" else String(self.length)


class LongText(TypeDecorator[str]):
    """JSON documents and vendor texts."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[str]:
        """Above 64 KiB on MariaDB too."""
        if dialect.name in _MARIADB:
            return mysql.LONGTEXT(charset="utf8mb4", collation=byte_collation(dialect))
        return Text()


def byte_collation(dialect: Any) -> str:
    """The one that does not pad: `utf8mb4_bin` takes "k " for "k"."""
    return "utf8mb4_nopad_bin" if dialect.is_mariadb else "utf8mb4_0900_bin"


def _key(length: int) -> Key:
    return Key(length)


def _text() -> LongText:
    return LongText()


def _table(name: str, *items: Column[Any] | Index) -> Table:
    return Table(
        PREFIX + name,
        metadata,
        *items,
        mysql_charset="utf8mb4",
        mysql_engine="InnoDB",
        mysql_row_format="DYNAMIC",
    )


def _count(name: str, doc: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default=text("0"), doc=doc)


def _partial(name: str, *columns: str, where: str) -> Index:
    """An index of the rows that are still to do; finished rows are out of its way. On MariaDB it holds all rows, those
    with a null first.
    """
    return Index(PREFIX + name, *columns, postgresql_where=text(where), sqlite_where=text(where))


def _only_partial(name: str, *columns: str, where: str) -> Index:
    """A partial index that MariaDB has another one for."""
    return _only_on(_WITH_PARTIAL_INDEXES, _partial(name, *columns, where=where))


def _by_state(name: str, *columns: str) -> Index:
    """MariaDB's: the state first, so that a question about queued rows never walks past finished ones."""
    return _only_on(_MARIADB, Index(f"{PREFIX}{name}_by_state", "state", *columns))


def _only_on(dialects: tuple[str, ...], index: Index) -> Index:
    def wanted(*_: Any, dialect: Dialect, **__: Any) -> bool:
        return dialect.name in dialects

    index.info["dialects"] = dialects
    return index.ddl_if(callable_=wanted)


def is_made(index: Index, dialect: str) -> bool:
    """True when this database has the index."""
    return dialect in index.info.get("dialects", (dialect,))


ID = 32
PART_ID = 40
LANE = 100

site = _table(
    "site",
    Column("name", _key(40), primary_key=True, doc="what the value is for: `lane_key`"),
    Column("value", _key(200), nullable=False, doc="random hex made by `db upgrade`, keys the hashes"),
)

jobs = _table(
    "jobs",
    Column("id", _key(ID), primary_key=True, doc="UUIDv7 made by the producer"),
    Column("kind", _key(40), nullable=False, doc="send, recall, upload, update_card; open text"),
    Column("channel", _key(40), nullable=False, doc="the account's channel at enqueue"),
    Column("account", _key(60), nullable=False, doc="the account's name in the settings"),
    Column("message", _text(), nullable=False, doc="JSON message document; `{}` when nothing is said (recall)"),
    Column("recipients", _text(), nullable=False, doc="JSON of all recipients asked for"),
    Column("asked", Integer, nullable=False, doc="how many recipient ids were asked for"),
    Column("priority", SmallInteger, nullable=False, doc="0 urgent, 1 normal, 2 bulk"),
    Column("due_at", BigInteger, nullable=False, doc="not before this instant; never changes"),
    Column("expires_at", BigInteger, doc="null: never expires"),
    Column("dedupe_key", _key(200), doc="the producer's; unique per account while the row exists; null: none"),
    Column("content_hash", _key(64), doc="SHA-256 of kind, message, recipients; null without dedupe_key"),
    Column("order_key", _key(200), doc="parts of an account's jobs with the same one go one by one; null: unordered"),
    Column("tags", _text(), doc="JSON list of the producer's own words; null: none"),
    Column("on_unknown", _key(12), nullable=False, doc="default, hold, resend"),
    Column("target_job_id", _key(ID), doc="the job a recall or card update is about; null for the others"),
    Column(
        "replay_of", _key(ID), doc="the original this one repeats, also when a replay was replayed; null: an original"
    ),
    Column("warnings", _text(), doc="JSON list of sentences said at enqueue; null: none"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
    Column("state", SmallInteger, nullable=False, server_default=text("0"), doc="JobState, out of the counters"),
    Column("finished_at", BigInteger, doc="when the last part left the open states; null while open"),
    Column("awaited", Boolean, nullable=False, server_default=text("false"), doc="a follow-up is parked on this job"),
    _count("n_open", "parts queued or sending"),
    _count("n_accepted", "parts accepted"),
    _count("n_partial", "parts partial"),
    _count("n_rejected", "parts rejected"),
    _count("n_exhausted", "parts exhausted"),
    _count("n_unknown", "parts unknown"),
    _count("n_expired", "parts expired"),
    _count("n_cancelled", "parts cancelled"),
    Column("on_gap", _key(4), doc="hold, skip: who comes behind its held or exhausted part; null without order_key"),
    Index(
        PREFIX + "jobs_dedupe",
        "account",
        "dedupe_key",
        unique=True,
        postgresql_where=text("dedupe_key is not null"),
        sqlite_where=text("dedupe_key is not null"),
    ),
    _partial("jobs_target", "target_job_id", where="target_job_id is not null"),
    _partial("jobs_replay", "replay_of", where="replay_of is not null"),
)

parts = _table(
    "parts",
    Column("id", _key(PART_ID), primary_key=True, doc="`<job id>-<n>`"),
    Column("job_id", _key(ID), nullable=False, doc="the job"),
    Column("n", Integer, nullable=False, doc="0, 1, ... inside the job"),
    Column("lane", _key(LANE), nullable=False, doc="account name, colon, keyed hash of the lane inside the account"),
    Column("priority", SmallInteger, nullable=False, doc="the job's"),
    Column("state", SmallInteger, nullable=False, server_default=text("0"), doc="PartState"),
    Column(
        "not_before",
        BigInteger,
        doc="queued: earliest next mark; unknown: when its policy may act; null: held for a person, or ended",
    ),
    Column("expires_at", BigInteger, doc="the job's"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    _count("claim", "number of the last mark, or of the last narrowing; results match on it"),
    Column("incarnation", _key(ID), doc="the process incarnation that marked it last; null before the first mark"),
    Column("marked_at", BigInteger, doc="instant of the last mark; null before the first"),
    Column("first_marked_at", BigInteger, doc="instant of the first mark; null before it"),
    Column("deadline_at", BigInteger, doc="when the last call must have ended; null before the first mark"),
    Column("tries", SmallInteger, nullable=False, server_default=text("0"), doc="calls that counted as attempts"),
    Column("busy", SmallInteger, nullable=False, server_default=text("0"), doc="answers -1 so far"),
    Column("repeats", SmallInteger, nullable=False, server_default=text("0"), doc="calls made while in doubt"),
    Column("doubts", SmallInteger, nullable=False, server_default=text("0"), doc="attempts without a readable answer"),
    Column(
        "unheard",
        Integer,
        nullable=False,
        server_default=text("0"),
        doc="of those, under which nothing left",
    ),
    Column("flagged", Boolean, doc="the duplicate check was on in the last call; null before the first mark"),
    Column("waits_on", _key(ID), doc="the job this part is parked on; null: none"),
    Column(
        "spec",
        _text(),
        nullable=False,
        doc="JSON: this part's share (recipients, task_id, msgid, targets, fetched file)",
    ),
    Column("reason", _key(300), doc="why it is where it is, in our words and codes; null: nothing to say"),
    Column("turn", _key(ID), doc="the order it waits its turn in: hash of account and order_key; null: unordered"),
    _only_partial("parts_queue", "lane", "priority", "not_before", "id", where="state = 0"),
    _only_partial("parts_due", "not_before", "id", where="state = 0"),
    _only_partial("parts_sending", "incarnation", where="state = 1"),
    _only_partial("parts_doubt", "not_before", where="state = 6"),
    _only_partial("parts_expiry", "expires_at", where="state = 0 and expires_at is not null"),
    _partial("parts_waiting", "waits_on", where="waits_on is not null"),
    _by_state("parts_queue", "lane", "priority", "not_before", "id"),
    _by_state("parts_due", "not_before", "id"),  # also for those sending (few) and in doubt
    _by_state("parts_expiry", "expires_at"),
)

turns = _table(
    "turns",
    Column("part_id", _key(PART_ID), primary_key=True, doc="an ordered part that is not out of the others' way yet"),
    Column("turn", _key(ID), nullable=False, doc="the part's"),
    Column("place_at", BigInteger, nullable=False, doc="the job's due_at; 0 from its first mark on: it goes first"),
    Column("job_id", _key(ID), nullable=False, doc="the job; tells apart what is due at once"),
    Column("n", Integer, nullable=False, doc="the part's"),
    Column("skips", Boolean, nullable=False, doc="the others go on when it is held, exhausted or parked"),
    Index(PREFIX + "turns_line", "turn", "place_at", "job_id", "n"),
)

orders = _table(
    "orders",
    Column("id", _key(ID), primary_key=True, doc="the turn of parts in a line; who decides about them locks it"),
)

attempts = _table(
    "attempts",
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the mark this call was made under"),
    Column("incarnation", _key(ID), nullable=False, doc="the process that made it"),
    Column(
        "outcome",
        _key(20),
        nullable=False,
        doc="name of the outcome, such as accepted or unknown",
    ),
    Column("doubtful", Boolean, nullable=False, doc="no readable answer so far"),
    Column("reason", _key(300), doc="class or reason in our words; null when accepted"),
    Column("http_status", SmallInteger, doc="null without an answer"),
    Column("errcode", BigInteger, doc="the vendor's; null without a readable answer"),
    Column("errmsg", _text(), doc="the vendor's text, cleaned and redacted; null without one"),
    Column("hint", _key(80), doc="the vendor's trace number; null without one"),
    Column("caller_ip", _key(60), doc="our address as the vendor saw it; null when not told"),
    Column("flagged", Boolean, nullable=False, doc="the duplicate check was on"),
    Column("duration_ms", Integer, doc="the call's length; null when the process died"),
    Column("started_at", BigInteger, nullable=False, doc="the mark"),
    Column("ended_at", BigInteger, nullable=False, doc="when the result, or the process's death, was recorded"),
)

receipts = _table(
    "receipts",
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part"),
    Column("claim", Integer, primary_key=True, autoincrement=False, doc="the call that brought it"),
    Column("msgid", _text(), doc="the vendor's; null where it gives none"),
    Column("media_id", _text(), doc="of an upload; null for the others"),
    Column("accepted_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("recalled_at", BigInteger, doc="when a recall of it was accepted; null: not recalled"),
    Column("from_repeat", Boolean, nullable=False, doc="only a repeat's answer proves acceptance"),
    Column("not_sent", Boolean, nullable=False, doc="nothing had to be called"),
    Column("warning", _text(), doc="a promised id missing, or the vendor's warning; null: none"),
    Column("extra", _text(), doc="JSON of what else it gave: `url` of a permanent picture, `chatid`; null: nothing"),
)

failures = _table(
    "failures",
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part"),
    Column("kind", _key(12), primary_key=True, doc="user, party, tag"),
    Column("recipient_key", _key(128), primary_key=True, doc="the recipient in lower case"),
    Column("recipient", _key(128), nullable=False, doc="as the producer wrote it"),
    Column("field", _key(40), nullable=False, doc="the vendor's list, such as invaliduser"),
    Column("errcode", BigInteger, nullable=False, doc="0 when the rest was taken"),
    Column("failed_at", BigInteger, nullable=False, doc="when it was recorded"),
)

response_codes = _table(
    "response_codes",
    Column("id", _key(64), primary_key=True, doc="SHA-256 of account and code"),
    Column("part_id", _key(PART_ID), nullable=False, doc="the send part whose card it is; a given one's update part"),
    Column("source", _key(12), nullable=False, doc="send, callback, or given by the application"),
    Column("code", _text(), nullable=False, doc="the vendor's response_code"),
    Column("state", _key(8), nullable=False, doc="fresh, leased, spent, burned"),
    Column("leased_by", _key(PART_ID), doc="the update part that holds or used it; null while fresh"),
    Column("issued_at", BigInteger, nullable=False, doc="when it was recorded"),
    Column("ends_at", BigInteger, nullable=False, doc="issued_at + 72 h (a setting)"),
    Column("person", _key(128), doc="in lower case, whose press brought it; null: not a press that we heard of"),
    Index(PREFIX + "response_codes_part", "part_id"),
    _partial("response_codes_leased", "leased_by", where="state = 'leased'"),
)

task_ids = _table(
    "task_ids",
    Column("account", _key(60), primary_key=True, doc="the account's name"),
    Column("task_id", _key(128), primary_key=True, doc="a card's, where the caller chose it; ours name their part"),
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part that sends it; a refused one may share it"),
)

chats = _table(
    "chats",
    Column("account", _key(60), primary_key=True),
    Column("chat_id", _key(128), primary_key=True, doc="what a send names it by"),
    Column("chat_type", _key(20), nullable=False, doc="single, group, blackboard, as the vendor says"),
    Column("person", _key(128), doc="of a single chat: whose it is, in lower case"),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("last_seen_at", BigInteger, nullable=False),
    Column("gone_at", BigInteger, doc="when the webhook was taken out of it; null: it is there"),
    _count("allowance", "messages a single chat takes until its person speaks again"),
    _partial("chats_person", "account", "person", where="person is not null"),
)
confirmations = _table(
    "confirmations",
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part that created the task"),
    Column("member", _key(128), primary_key=True, doc="who was asked to send"),
    Column("recipient", _key(128), primary_key=True, doc="customer or customer group; empty: the member's own task"),
    Column(
        "status",
        SmallInteger,
        nullable=False,
        doc="the vendor's 0 waiting, 1 sent, 2 no friend, 3 quota spent; of a task 0 waiting, 2 done",
    ),
    Column("happened_at", BigInteger, doc="when the vendor says it was sent"),
    Column("seen_at", BigInteger, nullable=False, doc="when it was last read"),
)
inbound = _table(
    "inbound",
    Column("id", _key(64), primary_key=True, doc="SHA-256 of the account and what makes it this very event"),
    Column("account", _key(60), nullable=False, doc="whose callback address it came to"),
    Column("event", _key(80), nullable=False, doc="the vendor's name of the event, or `message:<MsgType>`"),
    Column("person", _key(128), nullable=False, doc="as the vendor writes it; empty when nobody caused it"),
    Column("payload", _text(), nullable=False, doc="JSON of everything that came; holds personal data"),
    Column("happened_at", BigInteger, nullable=False, doc="by the vendor's clock, in whole seconds"),
    Column("received_at", BigInteger, nullable=False, doc="when it was stored; the age that retention counts"),
    Column("stored_by", _key(ID), nullable=False, doc="id of the one delivery of it that was stored, and of its event"),
    Column("part_id", _key(PART_ID), doc="the part whose card was pressed; null: no card, or none of ours"),
    Index(PREFIX + "inbound_received", "received_at"),
)

events = _table(
    "events",
    Column("id", _key(ID), primary_key=True, doc="UUIDv7"),
    Column("kind", _key(20), nullable=False, doc="card_action, job_done"),
    Column("job_id", _key(ID), doc="the job it is about; null: none of ours"),
    Column("part_id", _key(PART_ID), doc="the part whose card was pressed; null for job_done"),
    Column("inbound_id", _key(64), doc="the callback that brought it; null for job_done"),
    Column("job_state", SmallInteger, doc="JobState in which the job ended; null for card_action"),
    Column("state", SmallInteger, nullable=False, doc="EventState"),
    Column("due_at", BigInteger, doc="waiting: earliest next run; null in every other state"),
    Column("offered_until", BigInteger, doc="in the broker until then, as far as we know; null: not offered"),
    _count("claim", "number of the last run; its result matches on it"),
    _count("tries", "runs that began"),
    Column("holder", _key(ID), doc="the process incarnation that runs it; null unless running"),
    Column("error", _text(), doc="of the last failed run: class and places, no text of it; null: none failed"),
    Column("created_at", BigInteger, nullable=False, doc="when it was written, with what it is about"),
    Column("started_at", BigInteger, doc="when the last run began; null before the first"),
    Column("ended_at", BigInteger, doc="when it was done, parked or ignored; null before"),
    Index(PREFIX + "events_job", "job_id"),
    _partial("events_due", "due_at", "id", where="state = 0"),
    _partial("events_running", "holder", where="holder is not null"),
    _only_partial("events_parked", "id", where="state = 3"),
    _by_state("events_parked", "id"),
)

media = _table(
    "media",
    Column("id", _key(64), primary_key=True, doc="SHA-256 of scope, upload type, content (or URL) and display name"),
    Column("scope", _key(100), nullable=False, doc="who can use the media_id, e.g. the corp"),
    Column("upload_type", _key(20), nullable=False, doc="image, voice, video, file"),
    Column("job_id", _key(ID), nullable=False, doc="the newest upload job for it"),
    Column("media_id", _text(), doc="the vendor's, or a picture's URL; null while the upload is open"),
    Column("valid_until", BigInteger, doc="when we stop using it; null while the upload is open"),
    Column("created_at", BigInteger, nullable=False, doc="when the first send needed it"),
)

blobs = _table(
    "blobs",
    Column("id", _key(ID), primary_key=True, doc="UUIDv7"),
    Column("sha256", _key(64), nullable=False, index=True, doc="of the content; not unique, so nobody waits"),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
)

blob_chunks = _table(
    "blob_chunks",
    Column("blob_id", _key(ID), primary_key=True, doc="the blob"),
    Column("n", Integer, primary_key=True, autoincrement=False, doc="0, 1, ..."),
    Column(
        "data",
        LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"),
        nullable=False,
        doc="at most 1 MiB",
    ),
)

blob_uses = _table(
    "blob_uses",
    Column("job_id", _key(ID), primary_key=True, doc="a job whose message names the file"),
    Column("blob_id", _key(ID), primary_key=True, doc="the blob; it goes when no job names it any more"),
    Index(PREFIX + "blob_uses_blob", "blob_id"),
)

bodies = _table(
    "bodies",
    Column("part_id", _key(PART_ID), primary_key=True, doc="the part"),
    Column("body", _text(), nullable=False, doc="the frozen JSON bytes of the first call, used by every repeat"),
    Column("window_id", _key(64), doc="the duplicate window of the first call; null for a card"),
    Column("frozen_at", BigInteger, nullable=False, doc="the first mark"),
)

duplicates = _table(
    "duplicates",
    Column("id", _key(64), primary_key=True, doc="SHA-256 of account and body without the flag fields"),
    Column("owner", _key(PART_ID), nullable=False, doc="the part whose flagged call opened the window"),
    Column("until", BigInteger, nullable=False, doc="end of the vendor's window after the last send of this body"),
    Column("others_since", BigInteger, doc="first send of this body by another part; null: the owner alone"),
)

tokens = _table(
    "tokens",
    Column("account", _key(60), primary_key=True, doc="the account's name"),
    Column("fingerprint", _key(64), primary_key=True, doc="keyed hash of the credentials"),
    Column("sealed", _text(), doc="the token, sealed with a key derived from the secret; null before the first fetch"),
    Column("generation", Integer, nullable=False, doc="counts tokens; a refused token is named by it"),
    Column("fetched_at", BigInteger, doc="null before the first fetch"),
    Column("expires_at", BigInteger, doc="null before the first fetch; in the past when the vendor refused it"),
    Column("lease_holder", _key(ID), doc="the process that is fetching; null: nobody"),
    Column("lease_until", BigInteger, doc="end of that lease; null: none"),
    Column("refused", _key(300), doc="why the vendor refused the credentials; null: it did not"),
    Column("probe_at", BigInteger, doc="next knock after a refusal; null: none refused"),
)

budgets = _table(
    "budgets",
    Column("id", _key(64), primary_key=True, doc="keyed hash of limit name, window and subject"),
    Column("buckets", _text(), nullable=False, doc="JSON list of [slot, used, until]"),
    Column("updated_at", BigInteger, nullable=False, doc="last reservation; old rows are purged by it"),
)

lanes = _table(
    "lanes",
    Column("lane", _key(LANE), primary_key=True, doc="a lane key, or an account's name for all of its lanes"),
    Column("account", _key(60), nullable=False, doc="the account's name"),
    Column("label", _key(100), nullable=False, doc="readable, for the command line: `send/text`"),
    Column("blocked_until", BigInteger, nullable=False, doc="nothing is offered or marked before this instant"),
    Column("reason", _key(300), nullable=False, doc="why, in our words and codes"),
    Column("remedy", _key(300), doc="what a person must do; null when time alone heals it"),
    Column("parked", Boolean, nullable=False, doc="true: a person must act; blocked_until is the next probe"),
    Column("blocked_at", BigInteger, nullable=False, doc="when the block was written; 0: nothing ever was"),
    Column("hint", _key(80), doc="the vendor's trace number of the answer that blocked it; null without one"),
    Column("step", SmallInteger, nullable=False, server_default=text("0"), doc="45009s without a success in between"),
    Column(
        "struck_until",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        doc="end of the last 45009's block; a call marked later is evidence",
    ),
    Column("calls", Integer, doc="calls that may be in the air, over all processes; null: no bound"),
    Column(
        "changed_at",
        BigInteger,
        nullable=False,
        server_default=text("0"),
        doc="since when `calls` is so; a success of a call marked later doubles it",
    ),
    _count("rest_s", "seconds between two growths of `calls`"),
    _count("failures", "calls in a row without an answer; see `breaker_failures`"),
)

lane_events = _table(
    "lane_events",
    Column("id", _key(ID), primary_key=True, doc="UUIDv7"),
    Column("lane", _key(LANE), nullable=False, doc="a lane key, or an account's name"),
    Column("account", _key(60), nullable=False, doc="the account's name"),
    Column("label", _key(100), nullable=False, doc="readable, as in `lanes`"),
    Column("what", _key(20), nullable=False, doc="the step, such as struck, parked, breaker opened"),
    Column("reason", _key(300), nullable=False, doc="why, in our words and codes"),
    Column("remedy", _key(300), doc="what a person must do; null when time alone heals it"),
    Column("hint", _key(80), doc="the vendor's trace number; null without one"),
    Column("until", BigInteger, doc="when the block ends, or the next probe is due; null: nothing is blocked"),
    Column("happened_at", BigInteger, nullable=False, doc="when it was written, with the answer that brought it"),
)

leases = _table(
    "leases",
    Column("name", _key(40), primary_key=True, doc="what is held: `relay`"),
    Column("holder", _key(ID), nullable=False, doc="the process incarnation"),
    Column("held_until", BigInteger, nullable=False, doc="renewed while held"),
)

processes = _table(
    "processes",
    Column("id", _key(ID), primary_key=True, doc="the incarnation, random"),
    Column("alive_until", BigInteger, nullable=False, doc="renewed every 3 s for 10 s"),
    Column("started_at", BigInteger, nullable=False, doc="its first heartbeat"),
    Column("ended_at", BigInteger, doc="clean end, or when it was found dead; null while alive"),
    Column("threads", Integer, nullable=False, doc="sender threads"),
    Column("host", _key(100), nullable=False, doc="for people"),
    Column("pid", Integer, nullable=False, doc="for people"),
    Column("lanes", _text(), nullable=False, doc="JSON: lane -> calls in the air and latency"),
    Column(
        "roads", _key(100), doc="roads it takes from, with commas; null: all, also of a process of the release before"
    ),
)


def include_object(obj: object, name: str | None, type_: str, reflected: bool, compare_to: object) -> bool:
    """For the application's own Alembic `env.py`: leaves our tables out of its autogenerate."""
    table = name if type_ == "table" else getattr(getattr(obj, "table", None), "name", None)
    return not (table or "").startswith(PREFIX)
