"""Stand-ins for the world outside, written by hand and tested like code."""
