"""A producer of its own: `python -m tests.process.upload_producer PATH_OR_URL` asks for one upload; tests only.

Prints the job's id, and the most memory this process ever held, in KiB.
"""

from __future__ import annotations

import sys

from tests.process.stack import ACCOUNT, peak_kib
from worker import File, upload
from worker.config.accounts import accounts_of
from worker.config.settings import load_settings
from worker.outbox.database import Database, make_engine

if __name__ == "__main__":
    settings = load_settings()
    database = Database(make_engine(settings.database))
    with database.writing() as connection:
        file = File.from_url(sys.argv[1]) if sys.argv[1].startswith("http") else File.at(sys.argv[1])
        job = upload(connection, ACCOUNT, file, accounts=accounts_of(settings)).id
    database.close()
    print(job, peak_kib())
