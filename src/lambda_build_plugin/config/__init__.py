"""What the user wrote: pyproject.toml, settings, artifacts, indexes and patterns."""
