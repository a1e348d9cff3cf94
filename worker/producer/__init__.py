"""The functions that applications enqueue jobs with, inside their own transaction."""
