"""Parts that the formats share."""

from __future__ import annotations

import pytest

from lambda_build_plugin.urls import without_logins


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            'url = "https://me:s3cret@index.example/a.whl?x=1#y"',
            'url = "https://index.example/a.whl?x=1#y"',
            id="password",
        ),
        pytest.param(
            "a https://token@index.example/a, http://me:p@b@index.example/b",
            "a https://index.example/a, http://index.example/b",
            id="token, and an @ in a password",
        ),
        pytest.param(
            'url = "ssh://git@git.example/a.git"',
            'url = "ssh://git@git.example/a.git"',
            id="user of ssh",
        ),
        pytest.param("me@mail.example", "me@mail.example", id="no address of the web"),
    ],
)
def test_text_without_logins(text: str, expected: str) -> None:
    """Credentials go, and nothing else does."""
    assert without_logins(text) == expected
