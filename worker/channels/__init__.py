"""Vendor knowledge as pure functions, one folder for each channel. The list of channels is `config/channels.py`."""
