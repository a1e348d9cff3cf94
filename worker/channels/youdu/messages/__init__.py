"""The messages of Youdu: typed, out of JSON and back, and their schema."""
