"""Makes Python and shell text short without changing what it does, for where every character counts.

Names are shortened only where that is plainly safe: a name that is bound in the text and never also an attribute, a
keyword argument or an import. What the module binds is replaced everywhere at once, what only a function binds within
that function as a whole, whatever is nested in it. So strings, attributes and the line of a traceback stay readable,
and nothing has to know more about scopes than that.
"""

from __future__ import annotations

import ast
import builtins
import io
import itertools
import keyword
import string
import threading
import tokenize
from collections import Counter
from collections.abc import Collection, Iterator

#: Letters for what the whole module knows; few functions come as far as the last small ones.
_BIG = string.ascii_uppercase + string.ascii_lowercase[:15:-1]

#: CPython 3.11 counts how deep the trees of all threads are as if they were one's, and fails on the sum.
_ONE_AT_A_TIME = threading.Lock()


def squeezed_python(source: str) -> str:
    """Return `source` without comments, docstrings, annotations and assertions, with short names and few spaces.

    `source` must import names at its top alone, do without f-strings, whose text some versions' tokens lose, and not
    look at its own docstrings, annotations or names. Imports of Flow's own modules go too: what they name must be part
    of `source`.
    """
    first = source.partition("\n")[0]
    with _ONE_AT_A_TIME:
        tree = _Undressed().visit(ast.parse(source))
        tree = _renamed(tree)
        lines = _tight(ast.unparse(ast.fix_missing_locations(tree))).splitlines(keepends=True)
    text = "".join(map(_without_brackets, lines))
    return f"{first}\n{text}" if first.startswith("#!") else text


def squeezed_shell(source: str) -> str:
    """Return `source` without empty lines and lines that are only a comment; the first line stays.

    `source` must not have such lines inside a here-document or a string.
    """
    first, *rest = source.splitlines()
    kept = [line for line in rest if line.strip() and not line.lstrip().startswith("#")]
    return "\n".join([first, *kept]) + "\n"


class _Undressed(ast.NodeTransformer):
    """Drops what only readers and type checkers look at, and has what a text imports whole in one line.

    What a function imports stays where it is, in a line of its own.
    """

    def __init__(self) -> None:
        self._imported: dict[str, ast.alias] = {}

    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._importing_at_once(node)

    def visit_Import(self, node: ast.Import) -> None:
        self._imported.update({ast.dump(each): each for each in node.names})

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        outer, self._imported = self._imported, {}
        self._importing_at_once(node)
        self._imported = outer
        return node

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

    def visit_If(self, node: ast.If) -> ast.AST | None:
        return None if _is_for_checkers(node.test) else self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> ast.AST | None:
        return None if _is_for_checkers(node.targets[0]) else self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def _importing_at_once(self, node: ast.Module | ast.FunctionDef) -> ast.AST:
        self._without_docstring(node)
        if self._imported:
            node.body.insert(0, ast.Import(names=list(self._imported.values())))
        return node

    def _without_docstring(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
        if ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
        return self.generic_visit(node)


def _is_for_checkers(node: ast.expr) -> bool:
    """Whether it names what only type checkers take to be true."""
    return isinstance(node, ast.Name) and node.id == "TYPE_CHECKING"


class _Renamed(ast.NodeTransformer):
    """Replaces names, wherever they are bound or used; in a function of the module or a class, with its own too."""

    def __init__(self, names: dict[str, str], own: dict[ast.AST, dict[str, str]]) -> None:
        self._names = names
        self._own = own

    def generic_visit(self, node: ast.AST) -> ast.AST:
        for field in _name_fields(node):
            name = getattr(node, field)
            setattr(node, field, self._names.get(name, name))
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            node.names = [self._names.get(name, name) for name in node.names]
        outer = self._names
        self._names = {**outer, **self._own.get(node, {})}
        super().generic_visit(node)
        self._names = outer
        return node


def _renamed(tree: ast.Module) -> ast.Module:
    """Give short names: big letters and the last small ones to what the module binds, the first ones in functions.

    Each function begins with `a` again, for what is written alike packs well.
    """
    functions = list(_outermost_functions(tree))
    fixed = _fixed_names(tree)
    used = Counter(_names_in(tree, without=()))
    shared = set(_names_in(tree, without=functions, only_bound=True))
    for function in functions:
        shared |= {
            name
            for node in ast.walk(function)
            if isinstance(node, ast.Global)
            for name in node.names
        }
    long = sorted(shared - fixed, key=lambda name: (-used[name], name))
    names = dict(zip(long, _free(_BIG, fixed | set(used)), strict=False))
    own: dict[ast.AST, dict[str, str]] = {}
    for function in functions:
        bound = dict.fromkeys(_names_in(function, without=(), only_bound=True))
        bound.pop(function.name, None)
        mine = [name for name in bound if name not in shared | fixed]
        taken = fixed | (set(used) - set(mine)) | set(names.values())
        own[function] = dict(zip(mine, _free(string.ascii_lowercase, taken), strict=False))
    _Renamed(names, own).visit(tree)
    return tree


def _outermost_functions(tree: ast.Module | ast.ClassDef) -> Iterator[ast.FunctionDef]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from _outermost_functions(node)


def _fixed_names(tree: ast.AST) -> set[str]:
    """Return what must stay: names of the language, and those that are also an attribute, a keyword or an import."""
    fixed = set(dir(builtins)) | set(keyword.kwlist)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            fixed.add(node.attr)
        elif isinstance(node, ast.keyword) and node.arg:
            fixed.add(node.arg)
        elif isinstance(node, ast.alias):
            fixed |= {node.asname or node.name.partition(".")[0]}
        elif isinstance(node, ast.ClassDef):
            fixed |= {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
    return fixed


def _names_in(
    tree: ast.AST, *, without: Collection[ast.AST], only_bound: bool = False
) -> Iterator[str]:
    """Yield the names in `tree`, in its order, but for what is inside of `without`."""
    for field in _name_fields(tree):
        if not only_bound or not isinstance(tree, ast.Name) or isinstance(tree.ctx, ast.Store):
            yield getattr(tree, field)
    if tree not in without:
        for node in ast.iter_child_nodes(tree):
            yield from _names_in(node, without=without, only_bound=only_bound)


def _name_fields(node: ast.AST) -> tuple[str, ...]:
    if isinstance(node, ast.Name):
        return ("id",)
    if isinstance(node, ast.arg):
        return ("arg",)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return ("name",)
    return ("name",) if isinstance(node, ast.ExceptHandler) and node.name else ()


def _free(letters: str, taken: Collection[str]) -> Iterator[str]:
    """Yield names of these letters that are not taken, the short ones first."""
    for length in itertools.count(1):
        for each in itertools.product(letters, repeat=length):
            if "".join(each) not in taken:
                yield "".join(each)


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


def _without_brackets(line: str) -> str:
    """Return a line without the brackets round a tuple, where it means the same without."""
    head, _, rest = line.partition("(")
    if not rest.endswith(")\n") or not (head.endswith("=") or head.strip() == "return"):
        return line
    bare = f"{head}{'' if head.endswith('=') else ' '}{rest[:-2]}\n"
    try:
        same = ast.dump(ast.parse(bare.strip())) == ast.dump(ast.parse(line.strip()))
    except SyntaxError:
        return line
    return bare if same else line


def _is_wordy(char: str) -> bool:
    return char.isalnum() or char in "_'\""
