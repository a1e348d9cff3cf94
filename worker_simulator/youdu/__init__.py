"""A Youdu server (有度即时通): tokens, app messages, media, pop-up windows, badge counts, under /cgi/."""
