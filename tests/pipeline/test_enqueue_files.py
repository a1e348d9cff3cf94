"""Files of a job: stored in the caller's transaction, in pieces, once."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import worker
from tests.support.producing import ACCOUNTS, ANN, count, row
from worker import CheckFailed, File, Image, NewJob, Text, WorkerError
from worker.outbox.engine.clock import DrivenClock
from worker.outbox.engine.database import Database
from worker.outbox.jobs.blobs import REUSED_WITHIN_S, blob_chunks, insert_blob

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 100


@pytest.fixture(autouse=True)
def _accounts() -> Any:
    """This process's accounts are the tests' own."""
    worker.configure(ACCOUNTS)
    yield
    worker.configure(None)


def test_a_file_travels_with_its_job(database: Database) -> None:
    """The document says what it is; the content is there in pieces of 1 MiB and comes back byte for byte."""
    content = PNG + bytes(range(256)) * 10_000
    with database.writing() as connection:
        ref = worker.enqueue(connection, "hr", Image(file=File(content, "图.png")), ANN)
        document = json.loads(row(connection, "worker_jobs", id=ref.id)["message"])
        sizes = [one[0] for one in connection.execute(text("select length(data) from worker_blob_chunks order by n"))]

    entry = document["files"]["image.media_id"]
    assert {
        "upload_type": "image",
        "name": "图.png",
        "size": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "blob": entry["blob"],
    } == entry
    assert [1024 * 1024] * 2 + [len(content) - 2 * 1024 * 1024] == sizes
    assert content == b"".join(blob_chunks(database, entry["blob"]))


def test_a_message_without_a_file_stays_as_it_is_beside_one_with(database: Database) -> None:
    """In one call for both."""
    with database.writing() as connection:
        alone = worker.enqueue(connection, "hr", Text(content="hello"), ANN)
        jobs = [NewJob("hr", Image(file=File(PNG, "a.png")), ANN), NewJob("hr", Text(content="hello"), ANN)]
        _, beside = worker.enqueue_many(connection, jobs)
        messages = [row(connection, "worker_jobs", id=ref.id)["message"] for ref in (alone, beside)]

    assert messages[0] == messages[1]


def test_a_young_copy_is_reused_an_old_one_is_not(database: Database, driven_clock: DrivenClock) -> None:
    """The same content is stored once while its copy is young, also inside one call."""
    with database.writing() as connection:
        for name in ("a.png", "b.png"):
            worker.enqueue(connection, "hr", Image(file=File(PNG, name)), ANN)
        jobs = [NewJob("hr", Image(file=File(PNG, f"{n}.png")), ANN) for n in range(3)]
        worker.enqueue_many(connection, jobs)
        assert count(connection, "worker_blobs") == 1
        driven_clock.advance(REUSED_WITHIN_S + 1)
        worker.enqueue_many(connection, jobs)
        assert count(connection, "worker_blobs") == 2


def test_paths_and_streams(database: Database, tmp_path: Path) -> None:
    """A path, bytes and an open stream are the same file."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    with database.writing() as connection:
        for file in (File.at(path), File(PNG, "a.png"), File(io.BytesIO(PNG), "a.png")):
            worker.enqueue(connection, "hr", Image(file=file), ANN)
        assert (count(connection), count(connection, "worker_blobs")) == (3, 1)


def test_a_file_that_cannot_be_read_is_a_problem(database: Database, tmp_path: Path) -> None:
    """Refused before anything is inserted."""
    with database.writing() as connection:
        with pytest.raises(CheckFailed, match="cannot be read"):
            worker.enqueue(connection, "hr", Image(file=File.at(tmp_path / "missing.png")), ANN)
        for endless in ("/dev/zero", tmp_path):
            with pytest.raises(CheckFailed, match=f"{endless} is no regular file; give one"):
                worker.enqueue(connection, "hr", Image(file=File.at(endless)), ANN)
        assert count(connection) == 0


def test_a_file_that_changes_while_it_is_read(database: Database, tmp_path: Path) -> None:
    """Another content at the second reading, or no file any more: refused, and the job is taken back."""

    class Restless(io.BytesIO):
        """Says something else every time it is read from its start."""

        turn = 0

        def seek(self, *args: int) -> int:
            self.turn += 1
            if self.turn == 3:
                raise OSError("gone")
            if self.turn == 2:
                self.write(b"0")
            return super().seek(*args)

    stream = Restless(PNG)
    with database.writing() as connection:
        with pytest.raises(CheckFailed, match="changed while it was read"):
            worker.enqueue(connection, "hr", Image(file=File(stream, "a.png")), ANN)
        assert (count(connection), count(connection, "worker_parts")) == (0, 0)


def test_a_file_that_is_no_longer_stored(database: Database) -> None:
    """An empty file is there and empty; a purged one is an error."""
    with database.writing() as connection:
        insert_blob(connection, "e" * 32, sha256="0" * 64, size=0, chunks=[])

    assert list(blob_chunks(database, "e" * 32)) == []
    with pytest.raises(WorkerError, match="no longer stored"):
        list(blob_chunks(database, "f" * 32))


def test_memory_stays_flat(database: Database) -> None:
    """One piece at a time is held while a file is stored."""
    held: list[int] = []

    class Pieces(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            held.append(size or -1)
            return super().read(size)

    def read_sizes() -> Iterator[int]:
        yield from held

    with database.writing() as connection:
        worker.upload(connection, "hr", File(Pieces(b"x" * 3_000_000), "a.bin"))

    assert set(read_sizes()) == {1024 * 1024}
