"""What an installation needs: the program, and the formulas that it measures."""
