"""Hooks of an application with Django and Celery of its own: its models and its tasks, used as outside of hooks."""

from __future__ import annotations

import json
import os

import django
from celery import Celery, shared_task
from django.conf import settings
from django.db import connection

from worker import JobDone, JobState, on_job_done

settings.configure(DATABASES={"default": json.loads(os.environ["HOOK_DATABASE"])}, USE_TZ=True)
django.setup()
app = Celery("shop", broker=os.environ["HOOK_BROKER"])
app.conf.task_default_queue = os.environ["HOOK_QUEUE"]


@shared_task(name="shop.note")
def note(job: str) -> None:
    """A task of the application, which no worker of ours may run."""
    raise AssertionError(job)


@on_job_done(states=[JobState.ACCEPTED])
def ended(done: JobDone, session: object) -> None:
    """Asks Django's database, then hands a task over."""
    with connection.cursor() as cursor:
        cursor.execute("select pg_backend_pid()")
        cursor.fetchone()
    note.delay(done.job_id)
