"""Connections, dialects, clocks, migrations: what every statement stands on."""
