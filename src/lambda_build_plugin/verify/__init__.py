"""Checks of an artifact against Lambda's rules and the lock; each module has one check."""
