"""HTTP over raw sockets: reading requests, writing answers, and breaking either at any byte."""
