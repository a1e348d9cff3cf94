"""What the fake group sends to customers remembers."""
