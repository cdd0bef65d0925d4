"""The mutants of the rooms: modules of the package with one change each.

Left as they are: annotations, texts, decorators and what raises; ``strict`` of `zip`, an assertion about lengths that
only another mistake can break; what a module does as a program, which tests start from its file; and tables of more
than `TABLE` numbers, which are measured data.
"""

from __future__ import annotations

import ast
import copy
import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
ROOMS = ("core", "transport", "verifiers")
EQUIVALENT = Path(__file__).with_name("equivalent.csv")
COMPARISONS = {ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
               ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In}
ARITHMETIC = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult,
              ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd}
SWAPPED = {"minimum": "maximum", "maximum": "minimum", "min": "max", "max": "min", "any": "all", "all": "any",
           "zeros_like": "ones_like", "ones_like": "zeros_like"}
TABLE = 16
BODIES = ("body", "orelse", "finalbody", "handlers", "cases")  # left out of what is said of a statement


class Place(NamedTuple):
    """A node, the function around it (empty at the level of the module) and the statement that it belongs to."""

    node: ast.AST
    function: str
    statement: ast.stmt


class Mutant(NamedTuple):
    """One change: module, number of the node in walking order, which of its changes, and where and what it is."""

    module: str
    node: int
    change: int
    line: int
    function: str
    before: str
    after: str


def modules() -> Iterator[tuple[str, Path]]:
    """Modules of the rooms, without the files that only gather names."""
    for room in ROOMS:
        for path in sorted((ROOT / "otspec" / room).rglob("*.py")):
            if path.name != "__init__.py":
                yield ".".join(path.relative_to(ROOT).with_suffix("").parts), path


def source(module: str) -> str:
    """Text of a module."""
    return (ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8")


def compiled_modules() -> set[str]:
    """Modules that hold compiled functions."""
    return {module for module, _ in modules() if "njit" in source(module)}


def changed(node: ast.AST, change: int) -> bool:
    """Apply the change to the node in place; False where it has no such change."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARISONS and change == 0:
        node.ops[0] = COMPARISONS[type(node.ops[0])]()
    elif isinstance(node, (ast.BinOp, ast.AugAssign)) and type(node.op) in ARITHMETIC and change == 0:
        node.op = ARITHMETIC[type(node.op)]()
    elif isinstance(node, ast.BoolOp) and change == 0:
        node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.Not)) and change == 0:
        node.op = ast.UAdd() if isinstance(node.op, ast.USub) else ast.Not()
        if isinstance(node.op, ast.Not):
            node.operand = ast.UnaryOp(ast.Not(), node.operand)
    elif isinstance(node, ast.Constant) and type(node.value) in (bool, int, float) and change == 0:
        node.value = not node.value if isinstance(node.value, bool) else node.value + 1
    elif isinstance(node, (ast.If, ast.IfExp, ast.While)) and change in (0, 1):
        node.test = ast.Constant(bool(change) and not isinstance(node, ast.While))
    elif isinstance(node, ast.Attribute) and node.attr in SWAPPED and change == 0:
        node.attr = SWAPPED[node.attr]
    else:
        return False
    return True


def places(tree: ast.AST, function: str = "", statement: ast.stmt | None = None) -> Iterator[Place]:
    """Nodes that may be changed."""
    if isinstance(tree, ast.If) and ast.unparse(tree.test).startswith("__name__"):
        return
    if isinstance(tree, (ast.Raise, ast.JoinedStr)) or (isinstance(tree, ast.keyword) and tree.arg == "strict") or (
            isinstance(tree, (ast.List, ast.Tuple)) and len(tree.elts) > TABLE):
        return
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                # defaults are evaluated where the function is made
                outside = name == "args" and isinstance(tree, ast.FunctionDef)
                inner = function.rpartition(".")[0] if outside else function
                here = child if isinstance(child, ast.stmt) else statement
                if isinstance(child, (ast.FunctionDef, ast.ClassDef)):
                    inner = f"{inner}.{child.name}" if inner else child.name
                if here is not None:
                    yield Place(child, inner, here)
                yield from places(child, inner, here)


def mutants(only: set[str] | None = None) -> list[Mutant]:
    """Every mutant of the rooms, or of some modules."""
    found = []
    for module in (name for name, _ in modules() if only is None or name in only):
        for number, (node, function, statement) in enumerate(places(ast.parse(source(module)))):
            for change in (0, 1):
                if not changed(copy.copy(node) if not hasattr(node, "ops") else copy.deepcopy(node), change):
                    continue
                before, kept = _said(statement), copy.deepcopy(node.__dict__)
                changed(node, change)
                found.append(Mutant(module, number, change, node.lineno, function, before, _said(statement)))
                node.__dict__.update(kept)
    return [one for one in found if one.before != one.after]  # 1e300 + 1 is 1e300


def _said(statement: ast.stmt) -> str:
    """A statement without those inside it."""
    head = copy.copy(statement)
    for name in BODIES:
        if isinstance(getattr(head, name, None), list):
            setattr(head, name, [ast.Pass()] if name == "body" else [])
    if isinstance(head, (ast.FunctionDef, ast.ClassDef)):
        head.decorator_list = []
    return ast.unparse(ast.fix_missing_locations(head)).removesuffix("\n    pass")


def mutated(mutant: Mutant) -> Any:
    """Code of the module with the change."""
    text = source(mutant.module)
    tree = ast.parse(text)
    node = next(place.node for number, place in enumerate(places(tree)) if number == mutant.node)
    changed(node, mutant.change)
    return compile(ast.fix_missing_locations(tree), str(ROOT / (mutant.module.replace(".", "/") + ".py")), "exec")


def judged_equivalent() -> dict[tuple[str, str, str, str], str]:
    """Mutants that no input can tell from the module: module, function, statement before and after, to the reason."""
    with EQUIVALENT.open(encoding="utf-8", newline="") as lines:
        return {(row["module"], row["function"], row["before"], row["after"]): row["reason"]
                for row in csv.DictReader(lines)}


def key(mutant: Mutant) -> tuple[str, str, str, str]:
    """What a mutant is listed under; numbers of lines change too often."""
    return mutant.module, mutant.function, mutant.before, mutant.after
