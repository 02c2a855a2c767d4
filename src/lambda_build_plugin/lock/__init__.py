"""Locks of every tool → one model. `read.read_lock` is the door."""
