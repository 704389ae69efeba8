"""Makes Python and shell text short without changing what it does, for where every character counts.

Names are shortened only where that is plainly safe: a name that is bound in the text and never also an attribute, a
keyword argument or an import, is replaced everywhere at once. So strings, attributes and the line of a traceback stay
readable, and nothing has to know about scopes.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import keyword
import string
import tokenize
from collections import Counter
from collections.abc import Iterator


def squeezed_python(source: str) -> str:
    """Return `source` without comments, docstrings, annotations and assertions, with short names and few spaces.

    `source` must do without f-strings, whose text some versions' tokens lose, and must not look at its own docstrings,
    annotations or names. Imports of Flow's own modules go too: what they name must be part of `source`.
    """
    first = source.partition("\n")[0]
    tree = _Undressed().visit(ast.parse(source))
    tree = _Renamed(_short_names(tree)).visit(tree)
    text = _tight(ast.unparse(ast.fix_missing_locations(tree)))
    return f"{first}\n{text}" if first.startswith("#!") else text


def squeezed_shell(source: str) -> str:
    """Return `source` without empty lines and lines that are only a comment; the first line stays.

    `source` must not have such lines inside a here-document or a string.
    """
    first, *rest = source.splitlines()
    kept = [line for line in rest if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join([first, *kept]) + "\n"


class _Undressed(ast.NodeTransformer):
    """Drops what only readers and type checkers look at."""

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_docstring(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        self.generic_visit(node)
        if node.value is None:
            return None
        return ast.Assign(targets=[node.target], value=node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        return None

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        module = node.module or ""
        return (
            None if module in ("__future__", "typing") or module.startswith("flow_core") else node
        )

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def _without_docstring(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


class _Renamed(ast.NodeTransformer):
    """Replaces names, wherever they are bound or used."""

    def __init__(self, names: dict[str, str]) -> None:
        self._names = names

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in _name_fields(node):
            name = getattr(node, field)
            setattr(node, field, self._names.get(name, name))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self._names.get(name, name) for name in node.names]
        return super().generic_visit(node)


def _short_names(tree: ast.AST) -> dict[str, str]:
    uses: Counter[str] = Counter()
    bound: set[str] = set()
    fixed: set[str] = set(dir(builtins)) | set(keyword.kwlist)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            fixed.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            fixed.add(node.arg)
        elif isinstance(node, ast.alias):
            fixed |= {node.asname or node.name.partition(".")[0]}
        elif isinstance(node, ast.ClassDef):
            fixed |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
        for field in _name_fields(node):
            name = getattr(node, field)
            uses[name] += 1
            if not isinstance(node, ast.Name) or isinstance(node.ctx, ast.Store):
                bound.add(name)
    long = sorted(bound - fixed, key=lambda name: (-uses[name], name))
    short = (name for name in _letters() if name not in fixed and name not in uses)
    return dict(zip(long, short, strict=False))


def _name_fields(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return ("id",)
    if isinstance(node, ast.arg):
        return ("arg",)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return ("name",)
    return ("name",) if isinstance(node, ast.ExceptHandler) and node.name else ()


def _letters() -> Iterator[str]:
    for length in itertools.count(1):
        for letters in itertools.product(string.ascii_letters, repeat=length):
            yield "".join(letters)


def _tight(source: str) -> str:
    """Indent by single spaces, and leave spaces only between tokens that would otherwise be one."""
    text = ""
    depth = 0
    starts_line = True
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.INDENT, tokenize.DEDENT):
            depth += 1 if token.type == tokenize.INDENT else -1
        elif token.type == tokenize.NEWLINE:
            text += "\n"
            starts_line = True
        elif token.type not in (tokenize.NL, tokenize.ENDMARKER, tokenize.COMMENT):
            if starts_line:
                text += " " * depth
            elif _is_wordy(text[-1]) and _is_wordy(token.string[0]):
                text += " "
            text += token.string
            starts_line = False
    return text


def _is_wordy(char: str) -> bool:
    return char.isalnum() or char in "_'\""
