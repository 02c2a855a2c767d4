"""Write the parts of the reference that say what the code says.

`make reference` runs it. A part stands between the comments `<!-- made by make_reference -->`
and `<!-- end -->`, below a heading that names a setting or a command. What people have written
around it stays; a new setting gets a section of its own.
"""

from __future__ import annotations

import ast
import importlib
import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from lambda_build_plugin.config.options import TABLE, variable
from lambda_build_plugin.errors import LambdaBuildError
from lambda_build_plugin.frontends import cli
from lambda_build_plugin.frontends.options import OPTIONS
from lambda_build_plugin.runtime.target import AS_OF, RUNTIMES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping

    from lambda_build_plugin.config.options import Option

_HERE = Path(__file__).resolve().parent
_PACKAGE = _HERE.parent / "src" / "lambda_build_plugin"
SETTINGS = _HERE / "reference" / "settings.md"
COMMAND_LINE = _HERE / "reference" / "command-line.md"
MESSAGES = _HERE / "reference" / "messages.md"
RUNTIMES_PAGE = _HERE / "reference" / "runtimes.md"

_BEGIN = "<!-- made by make_reference -->"
_END = "<!-- end -->"
_MADE = re.compile(rf"{re.escape(_BEGIN)}\n.*?{re.escape(_END)}\n", re.DOTALL)
_OVERVIEW = "## All settings"


def settings_page(page: str) -> str:
    """Write the reference of settings anew.

    Args:
        page: The page as it is, for what people have written in it.
    """
    rows = [row for row in _rows() if row.in_table]
    overview = "\n".join(
        (
            "| setting | flag | what it does |",
            "|---|---|---|",
            *(
                f"| [`{row.key}`](#{row.key}) | {_flag(row)} | {_cell(row.summary)} |"
                for row in rows
            ),
        )
    )
    made = {_OVERVIEW: overview}
    made |= {f"### `{row.key}`": "\n".join(_section(row)) for row in rows}
    return _renewed(page, made)


def command_line_page(page: str) -> str:
    """Write the reference of commands and their options anew.

    Args:
        page: The page as it is, for what people have written in it.
    """
    made = {"## `lambda-build`": _options(cli.make_root_parser())}
    for name, module in cli.COMMANDS.items():
        made[f"## `lambda-build {name}`"] = _options(importlib.import_module(module).parser())
    return _renewed(page, made)


def messages_page(page: str) -> str:
    """Write the list of errors anew: their names, and what their docstrings say.

    Args:
        page: The page as it is, for what people have written in it.
    """
    classes = {
        node.name: node
        for path in sorted(_PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    }

    def branch(name: str) -> str | None:
        """Find the branch of `errors.py` that a class belongs to."""
        bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name)]
        if "LambdaBuildError" in bases:
            return name
        return next(filter(None, (branch(base) for base in bases if base in classes)), None)

    made = {}
    for kind in LambdaBuildError.__subclasses__():
        if kind.__module__ == LambdaBuildError.__module__:
            names = sorted(name for name in classes if branch(name) == kind.__name__)
            rows = (f"| `{name}` | {_meaning(classes[name])} |" for name in names)
            heading = f"## `{kind.__name__}`, exit code {kind.exit_code}"
            made[heading] = "\n".join(("| kind | meaning |", "|---|---|", *rows))
    return _renewed(page, made)


def runtimes_page(page: str) -> str:
    """Write the list of runtimes anew.

    Args:
        page: The page as it is, for what people have written in it.
    """
    lines = [
        f"As of {AS_OF.isoformat()}:",
        "",
        "| runtime | patch level | glibc | newest wheels | deprecated from |",
        "|---|---|---|---|---|",
    ]
    for each in RUNTIMES.values():
        newest = f"manylinux_{each.glibc.major}_{each.glibc.minor}"
        ends = each.deprecated.isoformat() if each.deprecated else ""
        name = f"`{each.name}`" + (" (preview)" if each.preview else "")
        lines.append(f"| {name} | {each.full_version} | {each.glibc} | `{newest}` | {ends} |")
    return _MADE.sub(lambda _: _part("\n".join(lines)), page)


def _meaning(node: ast.ClassDef) -> str:
    """Take the first paragraph of a docstring."""
    return _cell(" ".join((ast.get_docstring(node) or "").partition("\n\n")[0].split()))


def _rows() -> list[Option]:
    """List all settings, with the defaults that the command line shows."""
    shown = {option.key: option for option in OPTIONS}
    return [shown.get(option.key, option) for option in TABLE]


def _section(row: Option) -> Iterator[str]:
    yield f"{_sentence(row.summary)}."
    yield ""
    yield f"- in the table: {_in_table(row)}"
    if row.names:
        yield f"- flag: {_flag(row)}" + (", may be repeated" if row.repeated else "")
    if row.in_environment:
        yield f"- environment: `{variable(row.key)}`"
    if row.choices:
        yield f"- values: {', '.join(f'`{choice}`' for choice in row.choices)}"
    default = f"`{row.default}`" if row.default in row.choices else _cell(row.default)
    yield f"- default: {default}"


def _in_table(row: Option) -> str:
    if row.key == "hooks":
        return "`[tool.lambda-build.hooks]`, a table"
    if row.key in {"runtime", "architecture"}:
        return f'`{row.key} = "…"`, or a list'
    if row.repeated or row.key == "build-environment":
        return f'`{row.key} = ["…"]`'
    return f"`{row.key} = true`" if row.metavar is None else f'`{row.key} = "…"`'


def _flag(row: Option) -> str:
    value = f" {row.metavar}" if row.metavar else ""
    return ", ".join(f"`{'-' * min(len(name), 2)}{name}{value}`" for name in row.names) or "none"


def _options(parser: argparse.ArgumentParser) -> str:
    """List the arguments and options of a parser, in the groups of its help."""
    usage = " ".join((parser.prog, "[options]", *_positionals(parser)))
    lines = [f"`{usage}`", "", *_description(parser.description or "")]
    for group in parser._action_groups:  # noqa: SLF001 - argparse has no public list
        actions = [each for each in group._group_actions if each.option_strings]  # noqa: SLF001
        if actions:
            lines += ["", f"| {group.title} | |", "|---|---|", *map(_option_row, actions)]
    return "\n".join(lines)


def _description(text: str) -> Iterator[str]:
    """Write a text of `--help` in Markdown: paragraphs, and lists of words with explanations."""
    for is_list, group in groupby(text.splitlines(), lambda line: line.startswith("  ")):
        if is_list:
            yield ""
            yield from (re.sub(r"^ +(\S+) +", r"- `\1`: ", line) for line in group)
        else:
            paragraphs = "\n".join(group).strip("\n").split("\n\n")
            yield "\n\n".join(_sentence(" ".join(each.split())) for each in paragraphs)


def _positionals(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list
        if not action.option_strings:
            forms = {"?": "[{}]", "*": "[{} ...]"}
            yield forms.get(str(action.nargs), "{}").format(action.metavar)


def _option_row(action: argparse.Action) -> str:
    value = f" {action.metavar}" if action.metavar else ""
    names = ", ".join(f"`{name}{value}`" for name in action.option_strings)
    return f"| {names} | {_cell(action.help or '')} |"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _cell(text: str) -> str:
    """Spell a text of `--help` in Markdown: what looks like code is code."""
    code = r"(?<![`\w])(\[[\w.-]+\]|LAMBDA_BUILD_<KEY>|\w*\{\w+\}[\w{}.-]*|dist/\S+)(?!`)"
    marked = re.sub(code, r"`\1`", text.replace("|", "\\|"))
    return re.sub(
        r"(?<![`\w])([.\w]*\w\.(?:toml|lock|txt)|\.python-version)(?![`\w])", r"`\1`", marked
    )


def _renewed(page: str, made: Mapping[str, str]) -> str:
    """Put what is made below its headings, in its order; drop sections of what is no more."""
    level = f"{next(reversed(list(made))).partition(' ')[0]} `"
    head, *sections = re.split(rf"^(?={level})", page, flags=re.MULTILINE)
    written = {section.partition("\n")[0]: section.partition("\n")[2] for section in sections}
    if _OVERVIEW in made:
        head = _MADE.sub(lambda _: _part(made[_OVERVIEW]), head)
    parts = [head.rstrip("\n") + "\n\n"]
    for heading, text in made.items():
        if heading != _OVERVIEW:
            prose = _MADE.sub("", written.get(heading, "")).strip("\n")
            parts.append(f"{heading}\n\n{_part(text)}\n" + (f"{prose}\n\n" if prose else ""))
    return "".join(parts).rstrip("\n") + "\n"


def _part(text: str) -> str:
    return f"{_BEGIN}\n{text}\n{_END}\n"


def main() -> None:
    """Write all pages."""
    pages = {
        SETTINGS: settings_page,
        COMMAND_LINE: command_line_page,
        MESSAGES: messages_page,
        RUNTIMES_PAGE: runtimes_page,
    }
    for path, made in pages.items():
        page = path.read_text(encoding="utf-8")
        path.write_text(made(page), encoding="utf-8")


if __name__ == "__main__":
    main()
