"""The program that the function's Python runs: it sets `sys.path` and starts awslambdaric.

    python -S -s -B bootstrap.py HANDLER SITE_FOLDERS RUNTIME_FOLDERS

The two lists are joined as PATH is. The order is Lambda's: the function's code, its layers,
the runtime's own packages, and then the standard library. The first ones are site
directories, so that their `.pth` files are executed. The runtime's packages are in
PYTHONPATH, unless the user has set that variable.

It runs in the Python of the function, which may be older than what lambda-build needs.
"""

import os
import sys


def _main() -> None:
    handler, site_folders, runtime_folders = sys.argv[1:]
    del sys.path[0]  # the folder of this file
    folders = site_folders.split(os.pathsep)
    sys.path[:0] = folders
    import site

    for folder in folders:
        site.addsitedir(folder)
    sys.path += [each for each in runtime_folders.split(os.pathsep) if each not in sys.path]
    sys.argv[:] = ["bootstrap", handler]
    from awslambdaric.__main__ import main

    main(sys.argv)


if __name__ == "__main__":
    _main()
