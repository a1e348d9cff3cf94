"""Rows of lanes and processes: blocks, limits' windows, tokens, leases and offers."""
