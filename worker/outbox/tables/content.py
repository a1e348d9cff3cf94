"""Content that is sent: files and their media_ids, frozen bodies, and windows of the duplicate check."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary
from sqlalchemy.dialects import mysql

from worker.outbox.tables.columns import ID, PART_ID, PREFIX, Key, LongText, table

media = table(
    "media",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of scope, upload type, content (or URL) and display name"),
    Column("scope", Key(100), nullable=False, doc="who can use the media_id, e.g. the corp"),
    Column("upload_type", Key(20), nullable=False, doc="image, voice, video, file"),
    Column("job_id", Key(ID), nullable=False, doc="the newest upload job for it"),
    Column("media_id", LongText(), doc="the vendor's, or a picture's URL; null while the upload is open"),
    Column("valid_until", BigInteger, doc="when we stop using it; null while the upload is open, and when it failed"),
    Column("created_at", BigInteger, nullable=False, doc="when the first send needed it"),
    Index(PREFIX + "media_job", "job_id"),
)

blobs = table(
    "blobs",
    Column("id", Key(ID), primary_key=True, doc="UUIDv7"),
    Column(
        "sha256", Key(64), nullable=False, index=True, doc="of the content; not unique, so no insert waits for another"
    ),
    Column("size", BigInteger, nullable=False, doc="bytes"),
    Column("created_at", BigInteger, nullable=False, doc="the database's clock at the insert"),
)

blob_chunks = table(
    "blob_chunks",
    Column("blob_id", Key(ID), primary_key=True, doc="the blob"),
    Column("n", Integer, primary_key=True, autoincrement=False, doc="0, 1, ..."),
    Column(
        "data", LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb"), nullable=False, doc="at most 1 MiB"
    ),
)

blob_uses = table(
    "blob_uses",
    Column("job_id", Key(ID), primary_key=True, doc="a job whose message names the file"),
    Column("blob_id", Key(ID), primary_key=True, doc="the blob; it goes when no job names it any more"),
    Index(PREFIX + "blob_uses_blob", "blob_id"),
)

bodies = table(
    "bodies",
    Column("part_id", Key(PART_ID), primary_key=True, doc="the part"),
    Column("body", LongText(), nullable=False, doc="the frozen JSON bytes of the call in doubt, used by every repeat"),
    Column("window_id", Key(64), doc="the duplicate window of the first call; null for a card"),
    Column("frozen_at", BigInteger, nullable=False, doc="the first mark"),
)

duplicates = table(
    "duplicates",
    Column("id", Key(64), primary_key=True, doc="SHA-256 of the vendor's app and the body without the flag fields"),
    Column("owner", Key(PART_ID), nullable=False, doc="the part whose call opened the window"),
    Column("until", BigInteger, nullable=False, doc="end of the vendor's window after the last send of this body"),
    Column("others_since", BigInteger, doc="first send of this body by another part; null: the owner alone"),
)
