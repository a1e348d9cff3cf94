"""Sends alerts to people, once when a problem begins and once when it ends, through an account of ours or a URL."""
