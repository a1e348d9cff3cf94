"""What looks after the outbox while messages are sent: recovery, retention, revoked jobs."""
