"""The upkeep of the outbox while messages are sent: recovery and retention."""
