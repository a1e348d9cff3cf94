"""The calls of the fake WeCom application messages."""
