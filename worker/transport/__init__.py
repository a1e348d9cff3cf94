"""HTTP to vendors, the connections it keeps, and access tokens."""
