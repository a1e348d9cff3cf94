"""What all WeCom APIs share: tokens, the form of answers, the errcodes, uploads, cards, ids of members."""
