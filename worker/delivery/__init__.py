"""How parts are delivered: which go next, how each is sent, and what it needs before it can be rendered."""
