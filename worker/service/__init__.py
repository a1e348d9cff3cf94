"""The processes: the Celery app, a worker from its start to its drain, the publisher, receiver and metrics."""
