"""What all WeCom APIs share: gettoken, the shape of answers, the global errcodes, temporary uploads."""
