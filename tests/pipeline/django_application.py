"""A Django process on the database of a URL: commits one job and rolls two back; a job of its session too.

`python -m tests.pipeline.django_application URL`; prints the texts of the jobs that are there at its end.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import django
from django.conf import settings
from django.db import connection, transaction
from sqlalchemy import make_url

from worker import Text, configure, django_session, enqueue
from worker.config.accounts import FixedAccounts
from worker.domain.account import Account, Secret

ENGINES = {"sqlite": "django.db.backends.sqlite3", "postgresql": "django.db.backends.postgresql"}


def database_of(url: str) -> dict[str, Any]:
    """Django's settings of a database."""
    parsed = make_url(url)
    named = {"NAME": parsed.database, "USER": parsed.username, "PASSWORD": parsed.password}
    where = {"HOST": parsed.host, "PORT": parsed.port}
    return {"ENGINE": ENGINES[parsed.get_backend_name()], **{k: v for k, v in {**named, **where}.items() if v}}


def send(content: str) -> None:
    """Enqueues in the transaction that is open."""
    with django_session() as session:
        enqueue(session, "hr", Text(content=content), ["lisi"])


class Away(Exception):
    """Something else that goes wrong."""


def main(url: str) -> None:
    """Everything that Django does with a transaction."""
    settings.configure(DATABASES={"default": database_of(url)}, USE_TZ=True)
    django.setup()
    account = Account("hr", "wecom_app", "http://vendor", {"corpid": "ww1", "agentid": 7}, Secret(lambda: "s1"))
    configure(FixedAccounts([account]))
    with transaction.atomic():
        send("committed")
    with suppress(Away), transaction.atomic():
        send("rolled back")
        raise Away
    connection.close()
    with transaction.atomic():
        send("over a new connection")
        with suppress(Away), transaction.atomic():
            send("rolled back to Django's savepoint")
            raise Away
        with suppress(Away), django_session() as session:
            enqueue(session, "hr", Text(content="rolled back to the session's own"), ["lisi"])
            raise Away
        send("and one more")
    with connection.cursor() as cursor:
        cursor.execute("select message from worker_jobs order by id")
        print(*(row[0] for row in cursor.fetchall()), sep="\n")
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])
