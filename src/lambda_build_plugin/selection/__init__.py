"""Choose, for a target, the locked files that ship, and say why others do not."""
