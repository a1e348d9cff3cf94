"""What the fake WeCom application messages remembers."""
