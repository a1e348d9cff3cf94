"""Vendor knowledge as pure functions; one folder a channel, one line each in `config/channels.py`."""
