"""The processes of an installation: worker, receiver, metrics and console. Only this package imports Celery."""
