"""The messages of group sends to customers: typed, out of JSON and back, and their schema."""
