"""Fixtures that more than one test module asks for."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest
from fakes.installed import installed
from fakes.locks import AWSLAMBDARIC, BACKENDS, BUILT_WHEEL, NEWEST, ROOT
from fakes.paths import hide_module, without

import lambda_build_plugin

# `nohup` and shells that start something behind the scenes have it ignore these, and what
# the tests start would inherit that; a build that is to ignore a signal does.
for _name in ("SIGINT", "SIGHUP", "SIGTERM"):
    _signal = getattr(signal, _name, None)
    if _signal is not None and signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.SIG_DFL)

# `make built` tests what users get, not the tree.
if BUILT_WHEEL and Path(lambda_build_plugin.__file__).is_relative_to(ROOT / "src"):
    raise pytest.UsageError("TEST_WHEEL is set, but the package is imported from `src`")

# What builds in the developer's own environment install is held to the locks.
if not NEWEST:
    for _name in ("UV_CONSTRAINT", "UV_BUILD_CONSTRAINT"):
        os.environ[_name] = str(BACKENDS)

# Wherever a zig is found, on PATH or as the package of the extra, it compiles what tests expect to
# be refused. Those that want one put it on PATH themselves. Workers inherit the PATH that was made
# for the session.
hide_module("ziglang")
_made: list[Path] = []
if sys.platform == "linux":
    os.environ["PATH"], _made = without("zig", os.environ.get("PATH", os.defpath))


def pytest_sessionfinish() -> None:
    """Remove what was made for the session."""
    for folder in _made:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def runtime_interface_client() -> Path:
    """Give the folder that holds `awslambdaric` for this interpreter.

    It is installed from the package index once per machine, so a test that asks
    for it bears the mark `index`.
    """
    return installed(AWSLAMBDARIC, "awslambdaric")
