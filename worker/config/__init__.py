"""Settings, accounts and logging: what comes from `worker.toml` and the environment. Knows no table and no vendor."""
