"""Connections, SQL dialects, the clock and migrations: what every statement of the outbox is built on."""
