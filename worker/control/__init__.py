"""What a person decides about jobs that are under way: each function commits its own transactions, and is audited."""
