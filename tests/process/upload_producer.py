"""A producer of its own: `python -m tests.process.upload_producer` asks for an upload of each path or URL it reads.

Tests only. Answers each with the most memory this process ever held, in KiB.
"""

from __future__ import annotations

import sys

from rig.stack import ACCOUNT, peak_kib
from worker import File, upload
from worker.accounts.sources import accounts_of
from worker.config.settings import load_settings
from worker.outbox.engine.database import Database, make_engine

if __name__ == "__main__":
    settings = load_settings()
    database = Database(make_engine(settings.database_url()))
    for source in map(str.strip, sys.stdin):
        with database.writing() as connection:
            file = File.from_url(source) if source.startswith("http") else File.at(source)
            upload(connection, ACCOUNT, file, accounts=accounts_of(settings))
        print(peak_kib(), flush=True)
    database.close()
