"""`tests/arm64/invoke.sh`: an arm64 artifact on another processor, by qemu."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.arm64 import arm64_python
from fakes.locks import ROOT

pytestmark = [pytest.mark.index, pytest.mark.nightly]


@pytest.mark.skipif(sys.platform != "linux", reason="qemu-user is for Linux")
@pytest.mark.skipif(sys.version_info < (3, 11), reason="quickstart needs Python 3.11")
@pytest.mark.skipif(platform.machine() == "aarch64", reason="this machine runs it without qemu")
def test_quickstart_for_arm64_runs_under_qemu() -> None:
    """The script builds quickstart for arm64, and its packages do their work."""
    folder = arm64_python("3.11").sysroot

    ran = subprocess.run(
        ["sh", str(ROOT / "tests/arm64/invoke.sh"), str(folder)],
        env={**os.environ, "LAMBDA_BUILD": str(Path(sys.executable).parent / "lambda-build")},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )

    assert ran.returncode == 0, ran.stderr
