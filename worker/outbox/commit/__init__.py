"""The group commit: the writes of many senders are collected and made in one transaction."""
