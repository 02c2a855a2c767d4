"""What a wheel holds: its file, members, RECORD, metadata and machine code."""
