"""Names of the standard library and of built-in modules, for each Python, as data.

The running interpreter's `sys.stdlib_module_names` is that of another version, so it is
not asked.
"""

from __future__ import annotations

__all__ = ["is_built_in", "is_importable", "is_standard", "last_python_with"]

_Python = tuple[int, int]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STANDARD = _names(
    """
    abc argparse array ast asyncio atexit base64 bdb binascii bisect builtins bz2 cProfile
    calendar cmath cmd code codecs codeop collections colorsys compileall concurrent configparser
    contextlib contextvars copy copyreg csv ctypes curses dataclasses datetime dbm decimal difflib
    dis doctest email encodings ensurepip enum errno faulthandler fcntl filecmp fileinput fnmatch
    fractions ftplib functools gc genericpath getopt getpass gettext glob grp gzip hashlib heapq
    hmac html http imaplib importlib inspect io ipaddress itertools json keyword linecache locale
    logging lzma mailbox marshal math mimetypes mmap modulefinder multiprocessing netrc ntpath
    numbers opcode operator optparse os pathlib pdb pickle pickletools pkgutil platform plistlib
    poplib posix posixpath pprint profile pstats pty pwd py_compile pyclbr pydoc queue quopri
    random re readline reprlib resource rlcompleter runpy sched secrets select selectors shelve
    shlex shutil signal site smtplib socket socketserver sqlite3 ssl stat statistics string
    stringprep struct subprocess symtable sys sysconfig syslog tabnanny tarfile tempfile termios
    textwrap threading time timeit tkinter token tokenize trace traceback tracemalloc tty turtle
    types typing unicodedata unittest urllib uuid venv warnings wave weakref webbrowser wsgiref
    xml xmlrpc zipapp zipfile zipimport zlib
    """
)
"""In every version from 3.8 on (docs.python.org/3/py-modindex.html), but for `test` and
other things that no program imports."""

_ADDED: dict[_Python, frozenset[str]] = {
    (3, 9): frozenset({"graphlib", "zoneinfo"}),
    (3, 11): frozenset({"tomllib"}),
    (3, 14): frozenset({"annotationlib", "compression"}),
    (3, 15): frozenset({"profiling"}),
}

_REMOVED: dict[_Python, frozenset[str]] = {
    (3, 10): frozenset({"formatter", "parser", "symbol"}),
    (3, 11): frozenset({"binhex"}),
    (3, 12): frozenset({"asynchat", "asyncore", "distutils", "imp", "smtpd"}),
    # PEP 594, and lib2to3.
    (3, 13): _names(
        """
        aifc audioop cgi cgitb chunk crypt imghdr lib2to3 mailcap nis nntplib ossaudiodev pipes
        sndhdr spwd sunau telnetlib uu xdrlib
        """
    ),
}

_BUILT_IN = _names(
    """
    atexit builtins errno faulthandler gc itertools marshal posix pwd sys time
    """
)
"""Linked into every build of CPython 3.8 to 3.15 (its Modules/Setup.bootstrap and config.c).
A build may link more, such as `math`; that the runtimes do is not known."""

_RARELY_MEANT = _names(
    """
    __future__ __main__ _abc _ast _asyncio _bisect _blake2 _bz2 _codecs _collections
    _collections_abc _compat_pickle _compression _contextvars _crypt _csv _ctypes _curses
    _curses_panel _datetime _dbm _decimal _elementtree _frozen_importlib
    _frozen_importlib_external _functools _gdbm _hashlib _heapq _imp _interpchannels
    _interpqueues _interpreters _io _json _locale _lsprof _lzma _markupbase _md5
    _multibytecodec _multiprocessing _opcode _opcode_metadata _operator _osx_support _pickle
    _posixshmem _posixsubprocess _py_abc _pydatetime _pydecimal _pyio _pylong _pyrepl _queue
    _random _sha1 _sha2 _sha256 _sha3 _sha512 _signal _sitebuiltins _socket _sqlite3 _sre _ssl
    _stat _statistics _string _strptime _struct _suggestions _symtable _sysconfig _thread
    _threading_local _tkinter _tracemalloc _typing _uuid _warnings _weakref _weakrefset
    _zoneinfo _zstd antigravity idlelib nturl2path pydoc_data pyexpat sre_compile
    sre_constants sre_parse test this turtledemo
    """
)
"""What CPython on Linux has beside its public modules, in some version from 3.8 on. A file
of such a name shadows nothing that people use, so these count for imports alone."""


def is_importable(name: str, python: _Python) -> bool:
    """Tell whether a version of Python has a module of that name, public or not."""
    return name in _RARELY_MEANT or is_standard(name, python)


def last_python_with(name: str) -> _Python | None:
    """Find the last version of Python that had a module which was removed since 3.8."""
    return next(
        ((major, minor - 1) for (major, minor), names in _REMOVED.items() if name in names), None
    )


def is_standard(name: str, python: _Python) -> bool:
    """Tell whether a version of Python has a public module of that name."""
    if name in _STANDARD:
        return True
    return any(name in names and python >= since for since, names in _ADDED.items()) or any(
        name in names and python < until for until, names in _REMOVED.items()
    )


def is_built_in(name: str, python: _Python) -> bool:
    """Tell whether a module is linked into Python, so that no file of that name is imported."""
    return name in _BUILT_IN or (name == "xxsubtype" and python < (3, 14))
