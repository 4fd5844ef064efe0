"""The dependency rules of docs/explanation/architecture.md, kept by reading the imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
WEB = {"quart", "quart_trio", "hypercorn", "h11", "wsproto", "trio_websocket", "werkzeug"}
TESTING_ONLY = "engine.testing"


def modules(package: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / package).rglob("*.py")):
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path: Path, *, at_runtime: bool = False) -> set[str]:
    """Give the modules that a file imports; `at_runtime`: only those that importing it loads."""
    found: set[str] = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        is_typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        is_late = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if at_runtime and (is_typing or is_late):
            skipped.update(ast.walk(node))
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def top(name: str) -> str:
    return name.partition(".")[0]


ENGINE = list(modules("engine"))
SERVER = list(modules("server"))


@pytest.mark.parametrize(("name", "path"), ENGINE, ids=[name for name, _ in ENGINE])
def test_the_engine_never_imports_the_server_or_anything_of_http_servers(
    name: str, path: Path
) -> None:
    forbidden = {"server", "tests", "benchmarks"}
    if not name.startswith(TESTING_ONLY):  # its doubles serve HTTP
        forbidden |= WEB
    assert not {each for each in imports(path) if top(each) in forbidden}


@pytest.mark.parametrize(("name", "path"), SERVER, ids=[name for name, _ in SERVER])
def test_the_server_imports_the_engine_by_its_door(name: str, path: Path) -> None:
    inside = {each for each in imports(path) if each.startswith("engine.")}
    door = set(dir(__import__("engine")))
    assert not {each for each in inside if each.removeprefix("engine.") not in door}


@pytest.mark.parametrize(("name", "path"), SERVER, ids=[name for name, _ in SERVER])
def test_only_routes_knows_both_codecs_and_transports(name: str, path: Path) -> None:
    found = imports(path)
    if name.startswith("server.protocols"):
        assert not {each for each in found if top(each) in WEB | {"trio"}}
        assert not {each for each in found if each.startswith("server.transports")}
    if name.startswith("server.transports"):
        words = ("generate", "content", "rater", "persona", "exhibition")
        assert not {
            each
            for each in found
            if each.startswith("server.protocols.") and each.split(".")[2] in words
        }


@pytest.mark.parametrize(("name", "path"), SERVER, ids=[name for name, _ in SERVER])
def test_only_the_command_bench_knows_the_load_tool(name: str, path: Path) -> None:
    """And a server never loads it: the command's module imports it when it is run."""
    if not name.startswith("server.commands.bench"):
        assert not {each for each in imports(path) if top(each) == "benchmarks"}
    if name != "server.commands.bench_plan":
        assert not {each for each in imports(path, at_runtime=True) if top(each) == "benchmarks"}


@pytest.mark.parametrize("folder", ["pipelines", "journal", "knowledge"])
def test_siblings_do_not_import_each_other(folder: str) -> None:
    """Each of them knows its folder's interface, and what is inside itself."""
    shared = {"interface"}
    for name, path in ENGINE:
        parts = name.split(".")
        if parts[:2] != ["engine", folder] or len(parts) < 3:
            continue
        me = parts[2].split("_")[0]
        for each in imports(path):
            other = each.split(".")
            if other[:2] == ["engine", folder] and len(other) > 2:
                sibling = other[2].split("_")[0]
                if folder == "pipelines":
                    assert sibling == me or sibling in shared, f"{name} imports {each}"


def test_actors_and_supervision_know_nothing_of_llms() -> None:
    for name, path in ENGINE:
        if name.startswith(("engine.actors", "engine.supervision")):
            for each in imports(path):
                assert not each.startswith(
                    ("engine.sessions", "engine.providers", "engine.pipelines", "engine.journal")
                ), f"{name} imports {each}"


def test_the_cluster_knows_nothing_of_what_sessions_do() -> None:
    for name, path in ENGINE:
        if name.startswith("engine.cluster"):
            for each in imports(path):
                assert not each.startswith(
                    ("engine.sessions", "engine.providers", "engine.pipelines", "engine.engine")
                ), f"{name} imports {each}"


def test_there_are_no_import_cycles() -> None:
    known = {name for name, _ in ENGINE + SERVER}
    packages = {name for name, path in ENGINE + SERVER if path.name == "__init__.py"}
    graph = {
        name: {
            each
            for each in imports(path, at_runtime=True)
            if each in known and each not in packages and each != name
        }
        for name, path in ENGINE + SERVER
        if name not in packages
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, " -> ".join((*trail, name))
        if name not in done:
            for each in graph.get(name, ()):
                visit(each, (*trail, name))
            done.add(name)

    for name in graph:
        visit(name, ())
