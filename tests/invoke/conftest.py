"""Fixtures for what runs functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.installed import installed
from fakes.invoking import Workplace, installed_runtime
from fakes.locks import FUNCTIONS

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def runtime_variables() -> dict[str, str]:
    """Give the variables that name a cache with awslambdaric; tests with it bear the mark `index`.

    It is installed once per machine, and then used offline.
    """
    return installed_runtime()


@pytest.fixture(scope="session")
def function_packages() -> Path:
    """Give a folder with clients of Lambda and what functions are written with, as locked.

    It is installed from the index, once per machine; tests with it bear the mark `index`.
    """
    return installed(FUNCTIONS, "aws-lambda-powertools", "awscli", "boto3", "fastapi", "mangum")


@pytest.fixture
def workplace(tmp_path: Path, runtime_variables: dict[str, str]) -> Workplace:
    """Give a folder, and a command that has awslambdaric."""
    return Workplace(folder=tmp_path, runtime=runtime_variables)


@pytest.fixture
def bare_workplace(tmp_path: Path) -> Workplace:
    """Give a folder, and a command that has not got awslambdaric."""
    return Workplace(folder=tmp_path)
