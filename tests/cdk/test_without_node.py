"""The constructs with a stand-in for CDK, which takes no time; the real one runs every night."""

from __future__ import annotations

import importlib
import sys
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from fakes.cdk_stand_in import Architecture, Runtime, Stack, modules
from fakes.projects import quiet_environment
from fakes.wheels import a_wheel

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_OURS = "lambda_build_plugin.cdk"
_HANDLER = "def handler(event, context):\n    return event\n"


@pytest.fixture
def cdk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """Import the constructs where the stand-in is CDK, in the folder of an app."""
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    for name, value in quiet_environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    # Whatever was imported before knows another CDK, and what is imported now goes again.
    for name in [name for name in sys.modules if name.startswith(_OURS)]:
        monkeypatch.delitem(sys.modules, name)
    yield importlib.import_module(_OURS)
    for name in [name for name in sys.modules if name.startswith(_OURS)]:
        del sys.modules[name]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    """Make a stack, and the folder of a function beside it."""
    wheel = a_wheel("dep")
    wheel.write_to(tmp_path / "wheelhouse")
    service = tmp_path / "service"
    service.mkdir()
    (service / "index.py").write_text(_HANDLER, encoding="utf-8")
    (service / "requirements.txt").write_text(
        f"--no-index\n--find-links {tmp_path / 'wheelhouse'}\n"
        f"dep==1.0 --hash=sha256:{wheel.sha256}\n",
        encoding="utf-8",
    )
    return Stack(tmp_path / "cdk.out")


def a_function(cdk: Any, stack: Stack, **props: Any) -> Any:
    """Make a function of the folder `service`."""
    given = {"entry": "service", "runtime": Runtime.PYTHON_3_13, **props}
    return cdk.PythonFunction(stack, "Function", **given)


def test_a_function_has_what_was_built(cdk: Any, stack: Stack) -> None:
    """Its code, the hash, the handler and the target come from one build."""
    function = a_function(cdk, stack, architecture=Architecture.ARM_64, memory_size=256)

    assert function.errors == []
    code = function.props.pop("code")
    assert function.props == {
        "handler": "index.handler",
        "runtime": Runtime.PYTHON_3_13,
        "architecture": Architecture.ARM_64,
        "memory_size": 256,
    }
    assert code.asset_hash == code.sha256
    with zipfile.ZipFile(code.path) as archive:
        assert {"index.py", "dep/__init__.py"} <= set(archive.namelist())


def test_equal_functions_are_built_once(cdk: Any, stack: Stack) -> None:
    """The second one takes the file of the first."""
    first, second = (a_function(cdk, stack).props["code"] for _ in range(2))

    assert first == second


def test_a_layer_fits_wherever_it_is_the_same(cdk: Any, stack: Stack) -> None:
    """Without machine code, that is everywhere."""
    layer = cdk.PythonLayerVersion(stack, "Layer", entry="service")

    assert layer.errors == []
    assert Runtime.PYTHON_3_14 in layer.props["compatible_runtimes"]
    architectures = {each.name for each in layer.props["compatible_architectures"]}
    assert architectures == {"x86_64", "arm64"}


def test_nothing_is_built_for_a_list(cdk: Any, tmp_path: Path) -> None:
    """CDK does not want it for `cdk list`; a missing folder is no mistake then."""
    function = a_function(cdk, Stack(tmp_path, bundling_required=False), entry="missing")

    assert function.errors == []
    assert function.props["code"].asset_hash == "not-built.zip"


class _Text:
    """Hooks that return a string, whose letters would be commands."""

    def before_bundling(self, _input_dir: str, _output_dir: str) -> str:
        return "make generated"

    def after_bundling(self, _input_dir: str, _output_dir: str) -> None:
        return None


@pytest.mark.parametrize(
    ("bundling", "what"),
    [
        pytest.param(
            {"assetExcludes": ["x"]},
            "bundling: `assetExcludes` is not an option; did you mean `asset_excludes`?",
            id="camel case",
        ),
        pytest.param("x", "bundling: is of the type `builtins.str`", id="no options"),
        pytest.param(
            {"asset_excludes": "dep"},
            'bundling: `asset_excludes` must be a list of strings, such as ["dep"]',
            id="string for a list",
        ),
        pytest.param({"settings": ["x"]}, "bundling: `settings` must be a dictionary", id="list"),
        pytest.param(
            {"environment": {"DEBUG": True}},
            "bundling: `environment` contains `DEBUG`, whose value must be a string",
            id="variable",
        ),
        pytest.param(
            {"settings": {"artifact": "api"}},
            "bundling: `settings` contains `artifact`: use the option `artifact`",
            id="artifact",
        ),
        pytest.param(
            {"provided": ["dep"], "settings": {"provided": []}},
            "bundling: `settings` contains `provided`: use the option `provided`",
            id="twice",
        ),
        pytest.param(
            {"settings": {"environ": {}}},
            "bundling: `settings` contains `environ`, which is not a setting",
            id="keyword of ours",
        ),
        pytest.param(
            {"command_hooks": object()},
            "bundling: `command_hooks` has no method `before_bundling`",
            id="no hooks",
        ),
        pytest.param(
            {"command_hooks": _Text()},
            "bundling: `before_bundling` returns a string instead of a list of commands",
            id="command",
        ),
        pytest.param(
            {"image": object()},
            "bundling: `image` is an option of Docker, and nothing is built in a container",
            id="docker",
        ),
    ],
)
def test_wrong_options_are_errors_of_the_construct(
    cdk: Any, stack: Stack, bundling: object, what: str
) -> None:
    """They are neither ignored nor a traceback."""
    [message] = a_function(cdk, stack, bundling=bundling).errors

    assert message.startswith(f"{what}\n\nhint: ")


def test_a_failed_build_is_an_error_of_the_construct(cdk: Any, stack: Stack) -> None:
    """It has our message, without the word that CDK writes itself."""
    [message] = a_function(cdk, stack, handler="missing").errors

    assert message.startswith("the handler `index.missing` is not defined\n")


@pytest.mark.parametrize(
    ("prop", "what"),
    [
        pytest.param({"runtime": "python3.13"}, "'python3.13' .* aws_lambda.Runtime", id="runtime"),
        pytest.param({"architecture": "arm64"}, "'arm64' .* aws_lambda.Architecture", id="arm64"),
    ],
)
def test_a_name_is_not_a_value_of_cdk(cdk: Any, stack: Stack, prop: Any, what: str) -> None:
    """As CDK does for all properties of a wrong type."""
    with pytest.raises(TypeError, match=what):
        a_function(cdk, stack, **prop)
