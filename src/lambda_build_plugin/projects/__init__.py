"""Several projects in one run: worker processes, their results, and the report of all."""
