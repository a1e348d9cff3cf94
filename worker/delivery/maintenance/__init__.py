"""The upkeep of the outbox while messages are sent: recovery, retention, revoked jobs."""
