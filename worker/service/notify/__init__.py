"""Alerts to people: what is wrong is told once, with its end, to an account of ours or to a URL."""
