"""`tests/arm64/invoke.sh`: an arm64 artifact on another processor, by qemu."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.locks import CACHE, ROOT

pytestmark = [pytest.mark.index, pytest.mark.nightly]


@pytest.mark.skipif(sys.platform != "linux", reason="qemu-user is for Linux")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="quickstart needs Python 3.11")
@pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine runs it without qemu")
def test_quickstart_for_arm64_runs_under_qemu() -> None:
    """The script builds quickstart for arm64, and its packages do their work."""
    if shutil.which("qemu-aarch64-static") is None:
        pytest.skip("there is no qemu-aarch64-static: `apt-get install qemu-user-static`")
    if os.geteuid() or shutil.which("apt-get") is None:
        pytest.skip("only root on Debian can get a Python for arm64 from apt")
    folder = CACHE / "arm64-python3.11"
    got = subprocess.run(
        ["sh", str(ROOT / "tests/arm64/make_python.sh"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        pytest.skip(f"apt has no Python 3.11 for arm64: {got.stderr.strip()[-200:]}")

    ran = subprocess.run(
        ["sh", str(ROOT / "tests/arm64/invoke.sh"), str(folder)],
        env={**os.environ, "LAMBDA_BUILD": str(Path(sys.executable).parent / "lambda-build")},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )

    assert ran.returncode == 0, ran.stderr
