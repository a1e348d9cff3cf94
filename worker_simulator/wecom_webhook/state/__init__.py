"""What the fake WeCom webhooks remembers."""
