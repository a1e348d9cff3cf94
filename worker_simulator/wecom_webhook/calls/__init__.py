"""The calls of the fake WeCom webhooks."""
