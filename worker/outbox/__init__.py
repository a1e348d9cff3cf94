"""Every table and every SQL statement. Knows states and rows; never meets a channel, HTTP or Celery."""
