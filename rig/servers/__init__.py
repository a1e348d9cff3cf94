"""Servers of a run's own, in a temporary folder: they may be restarted, emptied and stopped."""
