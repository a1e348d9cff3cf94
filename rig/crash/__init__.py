"""The crash matrix: a worker dies by SIGKILL at a labelled step, a second one takes over, everything is counted."""
