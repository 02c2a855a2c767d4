"""Fetch selected files and check their digests. Start with `fetcher.Fetcher`."""
