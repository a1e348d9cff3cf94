"""What a part needs before it can be rendered: msgids, response codes, media, files, members."""
