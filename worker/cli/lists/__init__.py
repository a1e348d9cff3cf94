"""What commands list of the outbox: lanes, limits, callbacks."""
