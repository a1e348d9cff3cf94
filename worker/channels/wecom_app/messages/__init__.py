"""The messages of WeCom application messages: typed, out of JSON and back, and their schema."""
