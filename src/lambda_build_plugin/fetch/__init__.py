"""Selected files → verified files on this machine. `fetcher.Fetcher` is the door."""
