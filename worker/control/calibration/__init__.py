"""`worker calibrate`: asks a tenant what the vendor's pages leave open, and keeps what it found."""
