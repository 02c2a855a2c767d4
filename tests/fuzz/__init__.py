"""Parsers of what others have written, given inputs that nobody would write.

`make fuzz` searches for inputs that a parser does not answer; `corpus/` has those that were
found, and the tests read them again.
"""
