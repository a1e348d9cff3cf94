"""WeCom application messages, faked: tokens, sends, recalls, card updates, uploads."""
