"""The fake WeCom webhooks: public group robots and internal message push, by key."""
