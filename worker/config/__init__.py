"""Settings, accounts, logging: what comes from `worker.toml` and the environment. Knows no table, no vendor call."""
