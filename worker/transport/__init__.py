"""HTTP to vendors, the connections it reuses, and the access tokens of accounts."""
