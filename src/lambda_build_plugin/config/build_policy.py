"""What the user allows and prescribes for builds of packages from source.

Each tool has its own places for that: requirements files, `[tool.uv]`, the configuration
of pip, Poetry and PDM. `source_build.policy` reads them into one `BuildPolicy`.
"""

from __future__ import annotations

import json
from dataclasses import field
from typing import TYPE_CHECKING, Literal, TypeVar

from packaging.utils import canonicalize_name

from lambda_build_plugin.values import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ALL", "BuildPolicy", "BuildSettings", "FormatRules", "format_rules"]

ALL = ":all:"
_NONE = ":none:"

_T = TypeVar("_T")


@dataclass(frozen=True, kw_only=True)
class FormatRules:
    """Which packages must not be built, and which must be, as one place says."""

    origin: str
    """Where the rules come from, for messages: `UV_NO_BUILD`."""

    only_binary: frozenset[str] = frozenset()
    """Normalized names of packages of which only wheels may be used, or `:all:`."""

    no_binary: frozenset[str] = frozenset()
    """Normalized names of packages of which no wheel may be used, or `:all:`."""


def format_rules(
    origin: str, *, only_binary: Iterable[str] = (), no_binary: Iterable[str] = ()
) -> FormatRules:
    """Make rules from lists of names, in which `:none:` empties what comes before it."""
    return FormatRules(origin=origin, only_binary=_names(only_binary), no_binary=_names(no_binary))


def _names(items: Iterable[str]) -> frozenset[str]:
    names: set[str] = set()
    for item in items:
        text = item.strip()
        if text == _NONE:
            names.clear()
        elif text:
            names.add(ALL if text == ALL else canonicalize_name(text))
    return frozenset(names)


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """What the user prescribes for the build of one package."""

    constraints: tuple[str, ...] = ()
    """Versions of build requirements (PEP 508), if they are needed at all."""

    requirements: tuple[str, ...] = ()
    """Additional build requirements (PEP 508)."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Additional environment variables of the backend."""

    config_settings: Mapping[str, str | list[str]] = field(default_factory=dict)
    """What the backend is passed as `config_settings` (PEP 517)."""

    @property
    def key(self) -> str:
        """A text that is different if anything is; it is part of the key of cached wheels."""
        parts = (
            sorted(set(self.constraints)),
            sorted(set(self.requirements)),
            sorted(self.variables.items()),
            sorted(self.config_settings.items()),
        )
        return json.dumps(parts) if any(parts) else ""


@dataclass(frozen=True, kw_only=True)
class BuildPolicy:
    """What the user allows and prescribes for all builds; `""` as a name means every package."""

    rules: tuple[FormatRules, ...] = ()
    constraints: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    requirements: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    config_settings: Mapping[str, Mapping[str, str | list[str]]] = field(default_factory=dict)
    not_isolated: frozenset[str] = frozenset()
    """Packages that uv builds without isolation, or `:all:`."""

    warnings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A text that is different if anything is."""
        parts = dict(vars(self))
        parts["rules"] = [(r.origin, r.only_binary, r.no_binary) for r in self.rules]
        return json.dumps(parts, sort_keys=True, default=sorted)

    def forbids_build(self, name: str) -> str | None:
        """Return where it says that a package must not be built; None if it may be.

        What names the package wins over `:all:`, as in pip, uv, Poetry and PDM.
        """
        if (rule := self._rule(name, "only_binary")) is not None:
            return rule.origin
        rule = None if self._rule(name, "no_binary") else self._rule(ALL, "only_binary")
        return None if rule is None else rule.origin

    def forbids_wheel(self, name: str) -> str | None:
        """Return where it says that the wheels of a package must not be used, or None."""
        if (rule := self._rule(name, "no_binary")) is not None:
            return rule.origin
        rule = None if self._rule(name, "only_binary") else self._rule(ALL, "no_binary")
        return None if rule is None else rule.origin

    def _rule(self, name: str, kind: Literal["only_binary", "no_binary"]) -> FormatRules | None:
        return next((rule for rule in self.rules if name in getattr(rule, kind)), None)

    def settings_for(self, name: str) -> BuildSettings:
        """Return what is prescribed for the build of one package."""
        return BuildSettings(
            constraints=(*self.constraints.get("", ()), *self.constraints.get(name, ())),
            requirements=self.requirements.get(name, ()),
            variables=self.variables.get(name, {}),
            config_settings={
                **self.config_settings.get("", {}),
                **self.config_settings.get(name, {}),
            },
        )

    def joined(self, other: BuildPolicy) -> BuildPolicy:
        """Return a policy that says what both say; for settings of a backend, the other wins."""
        return BuildPolicy(
            rules=(*self.rules, *other.rules),
            constraints=_joined(self.constraints, other.constraints),
            requirements=_joined(self.requirements, other.requirements),
            variables=_overlaid(self.variables, other.variables),
            config_settings=_overlaid(self.config_settings, other.config_settings),
            not_isolated=self.not_isolated | other.not_isolated,
            warnings=(*self.warnings, *other.warnings),
        )


def _joined(
    first: Mapping[str, tuple[str, ...]], second: Mapping[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    return {name: (*first.get(name, ()), *second.get(name, ())) for name in {**first, **second}}


def _overlaid(
    first: Mapping[str, Mapping[str, _T]], second: Mapping[str, Mapping[str, _T]]
) -> dict[str, dict[str, _T]]:
    return {name: {**first.get(name, {}), **second.get(name, {})} for name in {**first, **second}}
