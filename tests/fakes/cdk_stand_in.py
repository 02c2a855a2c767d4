"""What our constructs use of AWS CDK, without Node.js.

It keeps what it is given, so that tests can look at it. What the real CDK makes of the same
is tested with it every night, in `tests/cdk/test_constructs.py`.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

__all__ = ["Architecture", "Function", "LayerVersion", "Runtime", "Stack", "modules"]


class AssetHashType(enum.Enum):
    """How an asset is identified."""

    SOURCE = "source"
    OUTPUT = "output"
    CUSTOM = "custom"


class RuntimeFamily(enum.Enum):
    """The language of a runtime."""

    PYTHON = "python"


@dataclass(frozen=True)
class Runtime:
    """A runtime of Lambda."""

    name: str
    family: RuntimeFamily = RuntimeFamily.PYTHON

    PYTHON_3_13: ClassVar[Runtime]
    PYTHON_3_14: ClassVar[Runtime]


Runtime.PYTHON_3_13 = Runtime("python3.13")
Runtime.PYTHON_3_14 = Runtime("python3.14")


@dataclass(frozen=True)
class Architecture:
    """An architecture of Lambda."""

    name: str

    X86_64: ClassVar[Architecture]
    ARM_64: ClassVar[Architecture]


Architecture.X86_64 = Architecture("x86_64")
Architecture.ARM_64 = Architecture("arm64")


@dataclass
class Node:
    """A place in the tree of constructs; nothing is in this one."""

    context: dict[str, Any] = field(default_factory=dict)

    def try_get_context(self, key: str) -> object:
        """Get a value of the context."""
        return self.context.get(key)

    def try_find_child(self, id: str) -> None:  # noqa: A002 - as CDK calls it
        """Find nothing."""


class Construct:
    """A construct, which collects errors and warnings."""

    def __init__(self, scope: Construct | None, id: str = "", **props: Any) -> None:  # noqa: A002
        self.scope, self.id, self.props = scope, id, props
        self.node: Node = Node() if scope is None else scope.node
        self.errors: list[str] = []
        self.warnings: list[str] = []


class Stack(Construct):
    """A stack, which is its app as well."""

    def __init__(self, outdir: Path, *, bundling_required: bool = True) -> None:
        super().__init__(None)
        self.outdir, self.bundling_required = str(outdir), bundling_required

    @staticmethod
    def of(scope: Construct) -> Construct:
        """Find the stack of a construct."""
        while scope.scope is not None:
            scope = scope.scope
        return scope


class Annotations:
    """The errors and warnings of a construct."""

    def __init__(self, scope: Construct) -> None:
        self._scope = scope

    @classmethod
    def of(cls, scope: Construct) -> Annotations:
        """Give those of a construct."""
        return cls(scope)

    def add_error(self, message: str) -> None:
        """Keep an error."""
        self._scope.errors.append(message)

    def add_warning_v2(self, _id: str, message: str) -> None:
        """Keep a warning."""
        self._scope.warnings.append(message)


@dataclass(frozen=True)
class Code:
    """The code of a function or a layer."""

    asset_hash: str
    sha256: str = ""
    """Of the file, as it is when CDK copies it."""

    path: str = ""

    @staticmethod
    def from_asset(path: str, *, asset_hash: str) -> Code:
        """Take a file, now."""
        return Code(asset_hash, hashlib.sha256(Path(path).read_bytes()).hexdigest(), path)

    @staticmethod
    def from_bucket(_bucket: object, key: str, _version: str) -> Code:
        """Take what is in a bucket."""
        return Code(key)


class Bucket:
    """A bucket of S3."""

    @staticmethod
    def from_bucket_name(_scope: Construct, _id: str, name: str) -> str:
        """Refer to a bucket."""
        return name


class Function(Construct):
    """A function of Lambda."""


class LayerVersion(Construct):
    """A layer of Lambda."""


def modules() -> dict[str, ModuleType]:
    """Make the modules to import the stand-in from, by their names."""
    aws_lambda = _module(
        "aws_cdk.aws_lambda",
        *(Architecture, Code, Function, LayerVersion, Runtime, RuntimeFamily),
    )
    aws_s3 = _module("aws_cdk.aws_s3", Bucket)
    aws_cdk = _module("aws_cdk", Annotations, AssetHashType, Stack)
    vars(aws_cdk).update(Stage=Stack, aws_lambda=aws_lambda, aws_s3=aws_s3)
    return {each.__name__: each for each in (aws_cdk, aws_lambda, aws_s3)}


def _module(name: str, *contents: type) -> ModuleType:
    module = ModuleType(name)
    vars(module).update({each.__name__: each for each in contents})
    return module
