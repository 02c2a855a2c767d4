"""A folder for `sys.path` of functions, used only where AWS's compiled module cannot load."""
