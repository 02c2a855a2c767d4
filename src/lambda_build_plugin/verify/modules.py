"""Check that the project's modules can be compiled and find what they import.

All modules of the project and of local packages are parsed, and their imports are followed from the
handler on. "No module named …" is the most common error of a Lambda function, and it only appears
when the function starts. Nothing is run or imported here.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from lambda_build_plugin.errors import VerificationError, quoted
from lambda_build_plugin.runtime.sdk import RUNTIME_MODULES
from lambda_build_plugin.runtime.standard_library import is_importable, last_python_with
from lambda_build_plugin.values import dataclass
from lambda_build_plugin.verify.findings import MOST_LISTED, Findings, listed
from lambda_build_plugin.verify.grammar import LARGEST_SOURCE, parse_source
from lambda_build_plugin.verify.module_imports import Certainty, read_module
from lambda_build_plugin.verify.module_index import ModuleIndex
from lambda_build_plugin.verify.module_notes import FoundModule

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from typing import TypeAlias

    from lambda_build_plugin.runtime.target import Target
    from lambda_build_plugin.verify.grammar import SyntaxProblem
    from lambda_build_plugin.verify.module_imports import Import, ModuleFacts
    from lambda_build_plugin.verify.module_index import Module
    from lambda_build_plugin.verify.module_notes import ModuleNotes
    from lambda_build_plugin.verify.view import ArtifactView

    Compile: TypeAlias = Callable[[Sequence[bytes]], Sequence[SyntaxProblem | None] | None]

__all__ = ["BrokenModuleError", "MissingModuleError", "Surroundings", "check_modules"]

_FOR_TESTS = re.compile(r"(?:.*\.)?(?:tests?|conftest|test_[^.]*|[^.]*_test)(?:\..*)?")
"""Names of modules that only a test runner imports."""

_HARMLESS_PTH = re.compile(r".*-nspkg\.pth")


_SMALL_SOURCE = 256  # bytes


def _nowhere(_name: str) -> str:
    return ""


def _never(_name: str) -> bool:
    return False


def _cannot_compile(_sources: Sequence[bytes]) -> None:
    return None


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What is known about modules outside of the artifact."""

    where: Callable[[str], str] = _nowhere
    """Says where a top-level module is that does not ship, to complete "it is not in the
    artifact"; empty if that is not known."""

    provides: Callable[[str], bool] = _never
    """Checks whether a package that was left out on purpose has a top-level module."""

    has_unnamed_layers: bool = False
    """Whether unknown packages are installed next to the artifact."""

    has_unknown_packages: bool = False
    """Whether packages were left out whose modules are not known: one of them may have what
    seems to be missing."""

    notes: ModuleNotes | None = None
    """What earlier builds have found in the project's modules."""

    compile_with_target: Compile = _cannot_compile
    """Lets the target's own Python compile sources; None if there is none on this machine."""


class BrokenModuleError(VerificationError):
    """A module of the project cannot be compiled by the runtime's Python."""

    def __init__(self, lines: Sequence[str], target: Target) -> None:
        count = "a module" if len(lines) == 1 else f"{len(lines)} modules"
        super().__init__(
            f"{count} of the project cannot be compiled by Python {_version(target)}",
            why=lines,
            hint="fix the code, choose a runtime that it is written for, or leave out a file that "
            "is not code with `exclude`",
        )


class MissingModuleError(VerificationError):
    """The handler imports modules that are neither in the artifact nor in the runtime."""

    def __init__(self, names: Sequence[str], lines: Sequence[str]) -> None:
        self.names = tuple(names)
        shown = quoted(names, most=MOST_LISTED)
        super().__init__(
            f"the handler cannot be imported: there is no module named {shown}",
            why=lines,
            hint="add the package that contains it to the project's dependencies and lock again, "
            "or name the layer that contains it (`provided-by`; `lambda-build inspect --layer`)",
        )


def check_modules(
    artifact: ArtifactView,
    target: Target,
    surroundings: Surroundings,
    *,
    handler: str | None,
    beside: Sequence[ArtifactView] = (),
) -> Findings:
    """Check the modules of the project and of local packages.

    Args:
        artifact: A function or a layer.
        target: Whose Python compiles and imports them.
        surroundings: What lies around the artifact.
        handler: As the function is configured; None if there is no handler, or it is not known.
        beside: Layers, in the order of `sys.path`.
    """
    if not artifact.own:
        return Findings()
    project = _Project((artifact, *beside), target, surroundings.notes)
    reached = project.reached(handler) if handler else None
    broken = project.check_syntax(surroundings, reached)
    missing = project.check_imports(surroundings, reached)
    of_others = tuple(project.broken_packages(reached or (), surroundings))
    project.keep_notes()
    return Findings(
        errors=(*broken.errors, *missing.errors),
        warnings=(*broken.warnings, *of_others, *missing.warnings),
        notes=missing.notes,
    )


class _Missing(NamedTuple):
    """An import that finds nothing."""

    name: str
    """The first part of the dotted name that does not exist."""

    importer: Module
    found: Import

    def __str__(self) -> str:
        return f"`{self.importer.path}`, line {self.found.line}, imports `{self.found.module}`"


class _Project:
    """The project's own modules, and all others that they can import."""

    def __init__(
        self, artifacts: Sequence[ArtifactView], target: Target, notes: ModuleNotes | None
    ) -> None:
        """Parse all modules of the project that are not known yet."""
        self.artifact = artifacts[0]
        self.target = target
        self._notes = notes
        self.index = ModuleIndex.of(artifacts)
        # What was found in each own module, by its dotted name.
        self.facts: dict[str, ModuleFacts] = {}
        self.sources: dict[str, bytes] = {}
        self.problems: dict[str, SyntaxProblem] = {}
        for name, module in self.index.own().items():
            if all(map(str.isidentifier, name.split("."))):
                self._read(module)

    def keep_notes(self) -> None:
        """Keep what was found out for the next build."""
        if self._notes is not None:
            self._notes.keep()

    def _read(self, module: Module) -> None:
        source = _source(module)
        if source is None:
            return
        found = self._noted(module, source)
        if found.problem is not None:
            self.problems[module.name] = found.problem
            self.sources[module.name] = source
        if found.facts is not None:
            self.facts[module.name] = found.facts

    def _noted(self, module: Module, source: bytes) -> FoundModule:
        """Look up a module, or parse it; parsing a small one is faster than a note."""
        notes = self._notes
        if notes is None or len(source) < _SMALL_SOURCE:
            return self._parsed(module, source)
        key = notes.key(
            source, module.name, self.target.runtime.python, is_package=module.is_package
        )
        found = notes.get(key)
        if found is None:
            found = self._parsed(module, source)
            notes.add(key, found)
        return found

    def _parsed(self, module: Module, source: bytes) -> FoundModule:
        python = self.target.runtime.python
        parsed = parse_source(source, python)
        if parsed.tree is None:
            return FoundModule(problem=parsed.problem, facts=None)
        facts = read_module(
            parsed.tree, source, name=module.name, is_package=module.is_package, python=python
        )
        return FoundModule(problem=parsed.problem, facts=facts)

    def reached(self, handler: str) -> frozenset[str]:
        """Name the project's modules that are imported whenever the handler is."""
        todo = [handler.rpartition(".")[0].replace("/", ".")]
        found: set[str] = set()
        while todo:
            name = todo.pop()
            for each in _with_parents(name):
                if each in found or each not in self.facts:
                    continue
                found.add(each)
                todo += _imported(self.facts[each])
        return frozenset(found)

    def broken_packages(self, reached: Iterable[str], surroundings: Surroundings) -> Iterator[str]:
        """Warn of packages with a module that the handler imports and that cannot be compiled.

        Only packages without Requires-Python are checked: installers take these for any Python, and
        parsing all others would take too long.
        """
        unsure = {each.shown for each in self.artifact.distributions if not each.requires_python}
        if not unsure:
            return
        todo = [name for own in reached for name in _imported(self.facts[own])]
        seen: set[str] = set()
        problems: dict[str, SyntaxProblem] = {}
        while todo:
            for each in _with_parents(todo.pop()):
                module = self.index.find(each)
                if each in seen or module is None or not self._is_of(module, unsure):
                    continue
                seen.add(each)
                source = _source(module)
                found = self._noted(module, source) if source is not None else None
                if source is not None and found and found.problem:
                    problems[each], self.sources[each] = found.problem, source
                elif found and found.facts:
                    todo += _imported(found.facts)
        broken: dict[str, list[str]] = defaultdict(list)
        for name, problem in sorted(self._settled(problems, surroundings).items()):
            path = self.index[name].path
            broken[self.artifact.owner(path)].append(_shown_problem(path, problem))
        for owner, texts in sorted(broken.items()):
            # A Python that is older than the target may have judged it, but code that is too new
            # for that one would come with Requires-Python.
            yield (
                f"{owner} was not written for Python {_version(self.target)}, which cannot compile "
                f"what the handler imports of it: {listed(texts, 2)}"
            )

    def _is_of(self, module: Module, packages: Collection[str]) -> bool:
        """Check whether a module of the artifact belongs to one of these third-party packages."""
        return (
            module.artifact is self.artifact
            and not module.is_own
            and self.artifact.owner(module.path) in packages
        )

    def check_syntax(self, surroundings: Surroundings, reached: frozenset[str] | None) -> Findings:
        """Report modules that cannot be compiled; the target's Python decides uncertain cases."""
        problems = self._settled(self.problems, surroundings)
        errors: list[str] = []
        warnings: list[str] = []
        untold: list[str] = []
        for name, problem in sorted(problems.items()):
            text = _shown_problem(self.index[name].path, problem)
            if not problem.certain:
                untold.append(text)
            elif reached is not None and name not in reached and self._may_be_data(name):
                warnings.append(f"{text}; nothing can import it")
            else:
                errors.append(text)
        return Findings(
            errors=(BrokenModuleError(errors, self.target),) if errors else (),
            warnings=(*warnings, *self._told_by_older_python(untold)),
        )

    def _settled(
        self, problems: Mapping[str, SyntaxProblem], surroundings: Surroundings
    ) -> Mapping[str, SyntaxProblem]:
        """Let the target's Python decide about problems that an older one has found."""
        doubtful = [name for name, problem in problems.items() if not problem.certain]
        if not doubtful:
            return problems
        settled = dict(problems)
        answers = surroundings.compile_with_target([self.sources[name] for name in doubtful])
        for name, answer in zip(doubtful, answers or (), strict=False):
            if answer is None:
                del settled[name]
            else:
                settled[name] = answer
        return settled

    def _told_by_older_python(self, texts: Sequence[str]) -> Iterator[str]:
        """Warn about modules that a Python older than the target cannot judge."""
        if texts:
            version = _version(self.target)
            yield (
                f"cannot tell whether Python {version} can compile {listed(texts, 2)}: the Python "
                f"that runs lambda-build is older, and there is no Python {version} on this "
                f"machine (`uv python install {version}` gets one)"
            )

    def _may_be_data(self, name: str) -> bool:
        """Check whether a module is in a folder without `__init__`, as templates are."""
        return any(self.index.find(each) is None for each in _with_parents(name.rpartition(".")[0]))

    def check_imports(self, surroundings: Surroundings, reached: frozenset[str] | None) -> Findings:
        """Report imports that find nothing."""
        failing: dict[str, list[_Missing]] = defaultdict(list)
        doubtful: dict[str, list[_Missing]] = defaultdict(list)
        notes: list[str] = []
        is_sure = not surroundings.has_unknown_packages and not self._finds_more()
        for missing in self._missing(surroundings):
            importer = missing.importer.name
            if missing.found.certainty is not Certainty.CERTAIN or _FOR_TESTS.fullmatch(importer):
                notes.append(f"{missing}, which does not ship; that may be intended")
            elif reached is not None and importer in reached and is_sure:
                failing[missing.name].append(missing)
            else:
                doubtful[missing.name].append(missing)
        lines = [self._shown(places, surroundings) for places in failing.values()]
        return Findings(
            errors=(MissingModuleError(tuple(failing), lines),) if failing else (),
            warnings=tuple(
                self._shown(places, surroundings)
                for name, places in doubtful.items()
                if name not in failing
            ),
            notes=tuple(notes),
        )

    def _missing(self, surroundings: Surroundings) -> Iterator[_Missing]:
        for name, facts in self.facts.items():
            importer = self.index[name]
            for found in facts.imports:
                for dotted in self._needed(found):
                    missing = self.index.missing(dotted)
                    if not missing or (
                        surroundings.has_unnamed_layers and not self._is_own(missing)
                    ):
                        continue
                    if not (self._is_known(missing) or surroundings.provides(missing)):
                        yield _Missing(name=missing, importer=importer, found=found)
                        break

    def _needed(self, found: Import) -> Iterator[str]:
        """Yield the modules that a statement needs.

        A name that is imported from a module may be an attribute, unless the module is a folder
        without an `__init__`, which only contains modules.
        """
        yield found.module
        if self.index.find(found.module) is None and self.index.has_folder(found.module):
            yield from (f"{found.module}.{name}" for name in found.names if name != "*")

    def _is_own(self, missing: str) -> bool:
        """Check whether a missing module belongs to one of the project's packages."""
        parent = self.index.find(missing.rpartition(".")[0])
        return parent is not None and parent.is_own

    def _is_known(self, missing: str) -> bool:
        """Check whether the runtime has a module that is not in the artifact."""
        top = missing.partition(".")[0]
        python = self.target.runtime.python
        if "." not in missing:
            return is_importable(top, python) or self._is_of_runtime(top)
        return is_importable(top, python) and not self._is_own(missing)

    def _is_of_runtime(self, top: str) -> bool:
        has_setuptools = self.index.find("_distutils_hack") is not None
        return top in RUNTIME_MODULES or (top == "distutils" and has_setuptools)

    def _finds_more(self) -> bool:
        """Check whether code or `.pth` files may make more modules importable."""
        artifact = self.artifact
        return any(facts.changes_imports for facts in self.facts.values()) or any(
            name.endswith(".pth") and not _HARMLESS_PTH.fullmatch(name)
            for root in artifact.roots
            for name in artifact.names[root]
        )

    def _shown(self, places: Sequence[_Missing], surroundings: Surroundings) -> str:
        name = places[0].name
        others = len({place.importer.path for place in places}) - 1
        more = f" (and {others} more {'file' if others == 1 else 'files'})" if others else ""
        where = surroundings.where(name)
        return f"{places[0]}{more}, but there is no `{name}` in the artifact" + (
            f": {where}" if where else self._in_former_python(name)
        )

    def _in_former_python(self, name: str) -> str:
        last = last_python_with(name)
        return f": Python {last[0]}.{last[1]} was the last version with it" if last else ""


def _shown_problem(path: str, problem: SyntaxProblem) -> str:
    line = f", line {problem.line}" if problem.line else ""
    return f"`{path}`{line}: {problem.text}"


def _source(module: Module) -> bytes | None:
    """Read a source; None if there is none, or if it is too large to be parsed."""
    if module.artifact.sizes[module.path] > LARGEST_SOURCE:
        return None
    return module.source()


def _imported(facts: ModuleFacts) -> Iterator[str]:
    """Yield what a module always imports; a name from another module may be a module."""
    for each in facts.imports:
        if each.certainty is Certainty.CERTAIN:
            yield each.module
            yield from (f"{each.module}.{taken}" for taken in each.names)


def _with_parents(name: str) -> Iterator[str]:
    """Yield a module and its parent packages: all of them are imported."""
    while name:
        yield name
        name = name.rpartition(".")[0]


def _version(target: Target) -> str:
    return ".".join(map(str, target.runtime.python))
