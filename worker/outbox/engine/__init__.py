"""Connections, dialects, clocks and migrations: the base of every statement."""
