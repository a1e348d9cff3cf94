"""Deletion of old rows, and figures over the whole outbox."""
