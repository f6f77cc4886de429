"""The size and shape of the source code: files, functions, import cycles, and patterns that should be rare.

``python benchmarks/house.py [CHECKOUT ...]`` prints one column per checkout (default: this one).
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

REQUESTS = {"Generate", "LogLikelihood", "Readout", "Rolling"}


def source_files(root: Path) -> list[Path]:
    """The Python files of the package and of the bundled plugins."""
    return sorted(path for folder in ("gpttasks", "plugins") for path in (root / folder).rglob("*.py"))


def function_lengths(tree: ast.AST) -> Iterator[int]:
    """The number of lines of each function, without decorators."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield (node.end_lineno or node.lineno) - node.lineno + 1


def isinstance_checks(tree: ast.AST, names: set[str]) -> int:
    """The number of isinstance() calls that name one of these classes."""
    count = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            classes = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            count += bool(classes & names)
    return count


def imports(root: Path) -> dict[str, set[str]]:
    """The modules that each module of the package imports, including imports in functions and for type checkers."""
    package = root / "gpttasks"
    modules = {}
    for path in package.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        modules[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        home = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        graph[name] = {other for other in _imported(ast.parse(path.read_text("utf-8")), home, modules) if other != name}
    # The package itself imports all public names, each when it is first used.
    graph["gpttasks"] = set()
    return graph


def _imported(node: ast.AST, home: list[str], modules: dict[str, Path]) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name in modules)
    elif isinstance(node, ast.ImportFrom):
        base = home[: len(home) - node.level + 1] if node.level else []
        source = ".".join([*base, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{source}.{alias.name}"
            if inner in modules:
                yield inner
            elif source in modules:
                yield source
    else:
        for child in ast.iter_child_nodes(node):
            yield from _imported(child, home, modules)


def cycles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others (Tarjan's components)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph.get(name, ())):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            place = stack.index(name)
            group = stack[place:]
            del stack[place:]
            if len(group) > 1:
                groups.append(sorted(group))

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return groups


def public_names(root: Path) -> int:
    """The number of names in ``gpttasks.__all__``."""
    for node in ast.parse((root / "gpttasks" / "__init__.py").read_text("utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return len(ast.literal_eval(node.value))
    raise ValueError("gpttasks/__init__.py has no __all__")


def measures(root: Path) -> dict[str, str]:
    """The rows of the table."""
    files = source_files(root)
    texts = [path.read_text("utf-8") for path in files]
    trees = [ast.parse(text) for text in texts]
    lengths = sorted(length for tree in trees for length in function_lengths(tree))
    readme = (root / "README.md").read_text("utf-8")
    lines = [len(text.splitlines()) for text in texts]
    count: Callable[[set[str]], int] = lambda names: sum(isinstance_checks(tree, names) for tree in trees)  # noqa: E731
    return {
        "files": str(len(files)),
        "lines": f"{sum(lines):,}",
        "longest file": str(max(lines)),
        "functions": f"{len(lengths):,}",
        "median and p90 function": f"{statistics.median(lengths):g} and {lengths[int(0.9 * len(lengths))]}",
        "longest function": str(lengths[-1]),
        "import cycles": str(len(cycles(imports(root)))),
        "isinstance on requests": str(count(REQUESTS)),
        "isinstance on LocalBackbone": str(count({"LocalBackbone"})),
        "public names": str(public_names(root)),
        "words in the README": f"{len(readme.split()):,}",
        "lines in the README": str(len(readme.splitlines())),
    }


def main() -> None:
    """Print the table, and the import cycles by name."""
    roots = [Path(argument) for argument in sys.argv[1:]] or [Path(__file__).parents[1]]
    columns = [measures(root) for root in roots]
    print("| | " + " | ".join(str(root) for root in roots) + " |")
    print("|---|" + "---|" * len(roots))
    for name in columns[0]:
        print(f"| {name} | " + " | ".join(column[name] for column in columns) + " |")
    for root in roots:
        for group in cycles(imports(root)):
            print(f"cycle in {root}: {', '.join(group)}")


if __name__ == "__main__":
    main()
