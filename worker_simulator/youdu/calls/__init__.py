"""The calls of the fake Youdu."""
