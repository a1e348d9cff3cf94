"""An account's own way out: its proxy, whom it trusts, and the connections that are kept on it."""
