"""Dated facts about Lambda: its runtimes, quotas, libraries, SDK and standard library."""
