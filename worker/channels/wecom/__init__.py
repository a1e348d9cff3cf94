"""What all WeCom APIs share: tokens, the shape of answers, the errcodes, uploads, cards, ids of members."""
