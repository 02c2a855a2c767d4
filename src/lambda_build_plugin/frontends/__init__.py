"""Doors to the pipeline, one a host; none imports another host."""
