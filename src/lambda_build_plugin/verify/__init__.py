"""The artifact against Lambda's rules and the lock's: each module holds one check."""
