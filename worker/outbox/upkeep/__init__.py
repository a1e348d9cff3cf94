"""What is deleted when it is old, and figures over the whole outbox."""
