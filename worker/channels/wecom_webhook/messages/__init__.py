"""The messages of WeCom webhooks: typed, out of JSON and back, and their schema."""
