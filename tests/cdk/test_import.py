"""What a program sees that has not installed the extra `cdk`."""

from __future__ import annotations

import importlib.util

import pytest


@pytest.mark.skipif(
    importlib.util.find_spec("aws_cdk") is not None, reason="aws-cdk-lib is installed"
)
def test_the_extra_is_named() -> None:
    """The error says what to install."""
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'lambda-build-plugin\[cdk\]'"):
        importlib.import_module("lambda_build_plugin.cdk")
