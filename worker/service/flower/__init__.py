"""Shows jobs in Flower: what happens to them, and which of them wait."""
