"""Processes: the Celery app, the worker's life from start to drain, the publisher, receiver and metrics."""
