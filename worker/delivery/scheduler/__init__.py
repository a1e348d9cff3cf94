"""Which parts go next: due parts become doorbells in the broker, lane by lane."""
