"""HTTP over raw sockets: reads requests, writes answers, and breaks both at any byte."""
