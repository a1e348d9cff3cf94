"""A long run with faults, and whether anything grows, is lost or doubled: the program, its judge, readings, hook."""
