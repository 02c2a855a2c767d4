"""What the sub-commands do: `inspect`, `diff` and `lock`."""
