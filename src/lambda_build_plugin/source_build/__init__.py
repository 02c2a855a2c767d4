"""Source code → wheels that the target loads: the project, path dependencies, sdists, commits."""
