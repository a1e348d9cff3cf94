"""Builds the Celery app from the settings: `celery -A worker.service.celery_app worker -P threads -c 32`.

Flower shows Celery's configuration, so it holds names and times only: no account and no database.
"""

from __future__ import annotations

import sys
from functools import partial
from typing import Any

import click
from celery import signals
from celery.app.amqp import AMQP, Queues
from celery.bin.celery import celery as celery_command
from click.core import ParameterSource
from kombu import Consumer

from worker.config import logging as our_logging
from worker.config.settings import LogSettings, Settings, load_settings
from worker.domain.errors import ConfigurationError
from worker.language.visible import visible
from worker.service.application_celery import OwnCelery
from worker.service.bootsteps import EXIT_CONFIGURATION, LostConnectionStep, WorkerProcessStep, refuse
from worker.service.broker import EMBEDDED, TIMEOUT_S, broker_url, require_client, tls_options, transport_options
from worker.service.lifecycle import Replacements, WorkerProcess
from worker.service.queues import NAMES, NORMAL, TRANSIENT, QuorumQueue, queues, register
from worker.service.rabbitmq import HEARTBEAT_S, BrokerConnection, refusal

LOGGING = "worker.logging"


def make_app(settings: Settings, replaced: Replacements | None = None) -> Any:
    """Returns a Celery app for these settings, with the worker process on its worker blueprint."""
    require_client(settings.broker_url())
    app = OwnCelery("worker", broker=broker_url(settings.broker_url()), amqp=WorkerAmqp)
    app.conf.update(configuration(settings))
    app.worker_process = WorkerProcess(settings, app, replaced or Replacements())
    app.steps["worker"].add(WorkerProcessStep)
    app.steps["consumer"].add(LostConnectionStep)
    register(app)
    # If a process builds several apps, as tests do, the last one decides how log lines look.
    signals.setup_logging.disconnect(dispatch_uid=LOGGING)
    signals.setup_logging.connect(partial(_set_up_logging, settings.logs), weak=False, dispatch_uid=LOGGING)
    return app


def configuration(settings: Settings) -> dict[str, Any]:
    """Returns all of Celery's settings."""
    prefix = settings.queue_prefix
    return {
        "broker_transport_options": transport_options(settings.broker_url()),
        "broker_use_ssl": tls_options(settings.broker_url()),
        "broker_connection_timeout": TIMEOUT_S,
        "broker_heartbeat": HEARTBEAT_S,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Otherwise a Redis that takes no writes for a while, such as a replica after a failover, would end the worker.
        "broker_channel_error_retry": True,
        "worker_consumer": "worker.service.bootsteps:ClosingConsumer",
        "result_backend": None,
        "task_ignore_result": True,
        "task_acks_late": True,
        "task_publish_retry": False,
        "task_queues": queues(prefix, settings.queue_type),
        "task_default_queue": prefix + NORMAL,
        "task_default_exchange": "",
        "task_default_exchange_type": "direct",
        "task_default_routing_key": prefix + NORMAL,
        "task_default_delivery_mode": TRANSIENT,
        "task_create_missing_queues": False,
        "task_serializer": "json",
        "event_serializer": "json",
        "accept_content": ["json"],
        "event_exchange": prefix + "celeryev",
        "control_exchange": prefix + "celery",
        "event_queue_prefix": prefix + "celeryev",
        "event_queue_ttl": 5.0,
        "event_queue_expires": 60.0,
        # `worker_pool` is not set: the celery command would silently prefer it to `-P prefork`.
        "worker_concurrency": settings.delivery.threads,
        "worker_prefetch_multiplier": 1,
        # After a reconnect Celery would lower the limit and raise it again from the threads that end a task. Two
        # threads would then read one socket, and RabbitMQ's frames would be torn apart.
        "worker_enable_prefetch_count_reduction": False,
        "worker_send_task_events": settings.broker_url() != EMBEDDED,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # Celery 5.7's soft shutdown raises NotImplementedError with threads. Our own drain does its work.
        "worker_soft_shutdown_timeout": 0.0,
        # Otherwise Celery would declare exchanges and queues for delayed messages. See `WorkerAmqp` and `QuorumQueue`.
        "worker_detect_quorum_queues": False,
        "enable_utc": True,
    }


def start_worker(app: Any, *, threads: int, loglevel: str = "INFO", **options: Any) -> int:
    """Runs a worker in this process until a signal ends it, and returns its exit status."""
    worker = app.Worker(
        pool="threads", concurrency=threads, loglevel=loglevel, quiet=True, optimization="fair", **options
    )
    worker.start()
    return int(worker.exitcode or 0)


def _set_up_logging(logs: LogSettings, loglevel: int | str | None = None, **_: Any) -> None:
    our_logging.set_up(loglevel or "INFO", **dict(logs))


def __getattr__(name: str) -> Any:
    """Builds `app` when the `celery` command or Flower reads it. A wrong setting ends the process with one sentence."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    take_over_options()
    try:
        globals()["app"] = built = make_app(load_settings())
    except ConfigurationError as error:
        sys.stderr.write(f"worker: {visible(error.localized())}\n")
        raise SystemExit(EXIT_CONFIGURATION) from None
    return built


def take_over_options() -> None:
    """Lets options of the `celery` command come from its command line alone, and refuses those that settings replace.

    The command would take the options of its subcommands from CELERY_WORKER_CONCURRENCY, CELERY_WORKER_PURGE and the
    like. A subcommand is read after the app is built.
    """
    context = click.get_current_context(silent=True)
    root = context and context.find_root()
    if root is None or root.command is not celery_command:
        return
    root.auto_envvar_prefix = None
    for name in ("broker", "result_backend", "loader", "config"):
        if root.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            refuse(f"--{name.replace('_', '-')}: is not used, because the settings say it; leave it out")


class WorkerQueues(Queues):  # type: ignore[misc]  # Celery has no types
    """The queues that a worker may consume. `-Q` with an unknown name ends the process with one sentence."""

    def select(self, include: Any) -> None:
        """Consumes only these queues, or all if none is named."""
        try:
            super().select(include)
        except KeyError as error:
            refuse(f"-Q: there is no queue {error.args[0]}; name some of {', '.join(NAMES)}, or leave -Q out for all")


class PerQueueConsumer(Consumer):  # type: ignore[misc]  # kombu has no types
    """A consumer whose limit of messages applies to each queue."""

    def qos(self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False) -> Any:
        """Sets the limit for each queue, never for the channel as a whole. Quorum queues refuse the latter."""
        return super().qos(prefetch_size, prefetch_count, False)


class WorkerAmqp(AMQP):  # type: ignore[misc]  # Celery has no types
    """Celery's AMQP with timeouts on its sockets, and a consumer whose limit every type of queue accepts."""

    Connection = BrokerConnection
    queues_cls = WorkerQueues

    def TaskConsumer(self, channel: Any, queues: Any = None, accept: Any = None, **options: Any) -> Any:
        """Returns the consumer of doorbells. A queue that RabbitMQ refuses ends the process with one sentence."""
        consumed = queues or list(self.queues.consume_from.values())
        try:
            if channel.transport.driver_type == "amqp" and any(isinstance(queue, QuorumQueue) for queue in consumed):
                return self._quorum_consumer(channel, consumed, **options)
            return super().TaskConsumer(channel, queues=consumed, accept=accept, **options)
        except Exception as error:
            sentence = refusal(error)
            if sentence is None:
                raise
        return refuse(sentence)

    def _quorum_consumer(self, connection: Any, queues: Any, **options: Any) -> Consumer:
        limit = self.app.worker_process.threads * self.app.conf.worker_prefetch_multiplier
        accept = self.app.conf.accept_content
        # On a channel of its own, because Celery has set a limit for the connection's channel as a whole.
        return PerQueueConsumer(connection.channel(), queues, accept=accept, prefetch_count=limit, **options)
