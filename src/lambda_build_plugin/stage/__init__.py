"""Lay wheels and sources out as one tree, and change that tree before it is written."""
