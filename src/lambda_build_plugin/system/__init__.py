"""What touches this machine: processes, interpreters, the cache, digests, and output files."""
