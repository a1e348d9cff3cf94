"""An account's own way to the vendor: its proxy, whom it trusts, and the connections that are reused."""
