"""The group commit: what senders have to write is collected and written in one transaction."""
