"""Run an artifact on this machine as Lambda runs it."""
