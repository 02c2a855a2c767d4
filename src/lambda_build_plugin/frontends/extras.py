"""Libraries that only some options need, and that an extra installs."""

from __future__ import annotations

from lambda_build_plugin.errors import SettingsError

__all__ = ["MissingExtraError"]


class MissingExtraError(SettingsError):
    """An option needs a library that is not installed; an extra installs it."""

    def __init__(self, option: str, *, library: str, extra: str) -> None:
        self.option, self.extra = option, extra
        super().__init__(
            [f"`{option}` needs {library}, which is not installed"],
            hint=f"install `lambda-build-plugin[{extra}]`, into the same environment",
        )
