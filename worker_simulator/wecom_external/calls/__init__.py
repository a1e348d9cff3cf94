"""The calls of the fake group sends to customers."""
