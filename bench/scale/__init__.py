"""A small and a big outbox beside each other: the program, what stands in them, and one of the two sides."""
