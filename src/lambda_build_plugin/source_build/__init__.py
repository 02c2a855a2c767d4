"""Build wheels for the target from the project, path dependencies, sdists and commits."""
