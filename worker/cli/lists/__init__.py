"""What commands list of the outbox: jobs, lanes, limits, callbacks."""
