"""The direction of imports that ``docs/design.md`` draws: each room knows only those above it."""

from __future__ import annotations

import ast
import graphlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import memdbd

PACKAGE = Path(memdbd.__file__).parent

# All rooms, from the top down. A package stands for its modules, which may import each other
# without a cycle; where their order matters, they are listed one by one.
PURE = [
    "memdbd",
    "memdbd.errors",
    "memdbd.replies",
    "memdbd.core",
    "memdbd.effects",
    "memdbd.durability",
    "memdbd.clock",
    "memdbd.structs",
    "memdbd.limits",
    "memdbd.glob",
    "memdbd.audience",
    "memdbd.parsing",
    "memdbd.passwords",
    "memdbd.parameters",
    "memdbd.keyspace",
    "memdbd.eviction",
    "memdbd.fanout",
    "memdbd.pubsub",
    "memdbd.session",
    "memdbd.clients",
    "memdbd.waiting",
    "memdbd.dialects.updates",
    "memdbd.changes",
    "memdbd.databases",
    "memdbd.commands",
    "memdbd.commands.arguments",
    "memdbd.commands.access",
    "memdbd.commands.spec",
    "memdbd.commands.categories",
    "memdbd.commands.foreign",
    "memdbd.commands.secrets",
    "memdbd.permissions",
    "memdbd.rules",
    "memdbd.users",
    "memdbd.denials",
    "memdbd.pausing",
    "memdbd.monitoring",
    "memdbd.tracking",
    "memdbd.notifications",
    "memdbd.commands.types",
    "memdbd.slowlog",
    "memdbd.commands.context",
    "memdbd.commands.sizes",
    "memdbd.commands.together",
    "memdbd.commands.transactions",
    "memdbd.commands.suggest",
    "memdbd.commands.blocking",
    "memdbd.commands.scanning",
    "memdbd.commands.sampling",
    "memdbd.commands.sets",
    "memdbd.commands.set_algebra",
    "memdbd.commands.hashes",
    "memdbd.commands.doubles",
    "memdbd.commands.zsets",
    "memdbd.commands.zset_ranges",
    "memdbd.commands.zset_algebra",
    "memdbd.commands.zset_pops",
    "memdbd.commands.geo",
    "memdbd.commands.geo_search",
    "memdbd.commands.lists",
    "memdbd.commands.list_values",
    "memdbd.commands.list_moves",
    "memdbd.commands.expiry",
    "memdbd.commands.expiration",
    "memdbd.commands.databases",
    "memdbd.commands.keys",
    "memdbd.commands.strings",
    "memdbd.commands.substrings",
    "memdbd.commands.counters",
    "memdbd.commands.bits",
    "memdbd.commands.bitfields",
    "memdbd.commands.lcs",
    "memdbd.commands.hyperloglogs",
    "memdbd.commands.sorting",
    "memdbd.commands.dumping",
    "memdbd.commands.pubsub",
    "memdbd.commands.connection",
    "memdbd.commands.clients",
    "memdbd.commands.client_kill",
    "memdbd.commands.client_tracking",
    "memdbd.commands.monitoring",
    "memdbd.commands.server",
    "memdbd.commands.configuration",
    "memdbd.commands.slowness",
    "memdbd.commands.memory",
    "memdbd.commands.scripting",
    "memdbd.commands.debugging",
    "memdbd.commands.acl",
    "memdbd.commands.introspection",
    "memdbd.commands.helping",
    "memdbd.commands.table",
    "memdbd.daemon",
    "memdbd.dialects",
    "memdbd.outbox",
]
ROOMS = [
    *PURE,
    "memdbd.commands.document",
    "memdbd.persistence",
    "memdbd.compacting",
    "memdbd.usersfile",
    "memdbd.addresses",
    "memdbd.admission",
    "memdbd.hashing",
    "memdbd.auth",
    "memdbd.checker",
    "memdbd.gate",
    "memdbd.useradmin",
    "memdbd.engines",
    "memdbd.ledger",
    "memdbd.attending",
    "memdbd.dispatch",
    "memdbd.turn",
    "memdbd.gathering",
    "memdbd.polling",
    "memdbd.sockets",
    "memdbd.certificates",
    "memdbd.tls",
    "memdbd.outlet",
    "memdbd.sending",
    "memdbd.recipient",
    "memdbd.arrival",
    "memdbd.protocol",
    "memdbd.factory",
    "memdbd.services",
    "memdbd.busy",
    "memdbd.health",
    "memdbd.committing",
    "memdbd.snapshots",
    "memdbd.storage",
    "memdbd.listeners",
    "memdbd.logs",
    "memdbd.systemd",
    "memdbd.config",
    "memdbd.figures",
    "memdbd.tuning",
    "memdbd.reloading",
    "memdbd.client",
    "memdbd.assembly",
    "memdbd.tap",
]
# Not pure, and yet without Twisted.
WITHOUT_TWISTED = {
    "memdbd.usersfile",
    "memdbd.commands.document",
    "memdbd.persistence",
    "memdbd.compacting",
    "memdbd.engines",
    "memdbd.config",
    "memdbd.certificates",
}

# What a pure room may import from outside: nothing that reads, waits, or tells the time.
PURE_LIBRARIES = {
    "__future__",
    "array",
    "base64",
    "bisect",
    "collections",
    "contextlib.contextmanager",
    "contextlib.suppress",
    "dataclasses",
    "decimal",
    "enum",
    "functools",
    "hiredis",
    "itertools",
    "math",
    "operator",
    "orjson",
    "re",
    "sortedcontainers",
    "sys.getsizeof",
    "types.ModuleType",
    "typing",
    "zlib.crc32",
}
MORE_LIBRARIES = {
    "memdbd.clock": {"time"},
    "memdbd.passwords": {"hashlib", "hmac", "binascii"},
    "memdbd.core": {
        *("os.environ", "os.strerror", "socket", "cython"),
        *("sys.byteorder", "sys.maxsize", "sys.platform"),
    },
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__"}
REACTOR = "twisted.internet.reactor"
# They are run, not imported: each puts its program together, and imports the reactor when it is.
COMPOSITION_ROOTS = {"memdbd.tap", "memdbd.client.cli"}

MODULES: dict[str, str] = {}
for path in sorted(PACKAGE.rglob("*.py")):
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    MODULES[".".join(parts).removesuffix(".__init__")] = path.read_text(encoding="utf-8")


def within(name: str, place: str) -> bool:
    """Whether ``name`` is ``place`` or something in it."""
    return name == place or name.startswith(f"{place}.")


def room_of(module: str) -> str | None:
    """The room of a module: the nearest that is listed; the package itself is none but its own."""
    fitting = [room for room in ROOMS if within(module, room)]
    room = max(fitting, key=len, default=None)
    return None if room == "memdbd" != module else room


def imports(source: str) -> Iterator[str]:
    """The full names of all that is imported, in functions and for annotations too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name: str) -> str:
    """The module of ours that an imported name is, or is in."""
    while name not in MODULES:
        name = name.rpartition(".")[0]
    return name


def complaints(module: str, source: str) -> list[str]:
    """What is wrong with the imports of ``module``, if it reads ``source``."""
    room = room_of(module)
    if room is None:
        return [f"{module} is in no room: give it a place in ROOMS"]
    found = []
    for name in imports(source):
        if within(name, "memdbd"):
            other = room_of(module_of(name))
            if other != room and (other is None or ROOMS.index(other) > ROOMS.index(room)):
                found.append(f"{module} imports {name} from a room below it")
        elif room in PURE:
            allowed = PURE_LIBRARIES | MORE_LIBRARIES.get(room, set())
            if not any(within(name, library) for library in allowed):
                found.append(f"{module} is pure and imports {name}")
        elif room in WITHOUT_TWISTED and within(name, "twisted"):
            found.append(f"{module} imports {name}, and knows no Twisted")
        elif room in WITHOUT_TWISTED and within(name, "zope") and room != "memdbd.engines":
            found.append(f"{module} imports {name}; of these only the engines are interfaces")
        elif within(name, REACTOR) and module not in COMPOSITION_ROOTS:
            found.append(f"{module} imports the reactor")
    if room in PURE:
        called = {
            node.func.id
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
        }
        found += [f"{module} is pure and calls {name}" for name in called & IMPURE_CALLS]
    return found


def cycles(modules: dict[str, str]) -> list[str]:
    """A cycle of imports among ``modules``, if there is one."""
    graph = {
        module: {module_of(name) for name in imports(source) if within(name, "memdbd")} - {module}
        for module, source in modules.items()
    }
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return list(error.args[1])
    return []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module: str) -> None:
    assert complaints(module, MODULES[module]) == []


def test_every_room_is_there_once() -> None:
    assert len(ROOMS) == len(set(ROOMS))
    assert [room for room in ROOMS if room not in MODULES] == []


def drawn() -> list[str]:
    """The modules and packages that have a row in the drawing in docs/design.md, downwards."""
    design = (Path(__file__).parents[1] / "docs" / "design.md").read_text(encoding="utf-8")
    house = design.partition("\nmemdbd/\n")[2].partition("```")[0]
    named = re.findall(r"^  (\S+(?:\.py|/)(?:  \S+\.py)*)(?= )", house, re.MULTILINE)
    names = [name.removesuffix(".py").strip("/") for row in named for name in row.split()]
    return ["memdbd." + name.replace("/", ".") for name in names]


def test_the_drawing_of_the_house_has_every_module() -> None:
    found = drawn()
    assert [name for name in found if name not in MODULES] == []
    rooms = {".".join(module.split(".")[:2]) for module in MODULES} - {"memdbd", "memdbd.commands"}
    assert rooms - set(found) == set()


def test_in_the_drawing_of_the_house_each_imports_only_from_above() -> None:
    found = drawn()

    def row(module: str) -> int:
        fitting = [one for one in found if within(module, one)]
        return found.index(max(fitting, key=len)) if fitting else -1

    below = [
        f"{module} imports {name}"
        for module, source in MODULES.items()
        for name in imports(source)
        if within(name, "memdbd") and -1 < row(module) < row(module_of(name))
    ]
    assert below == []


def test_of_the_core_nobody_imports_functions_but_those_that_are_chosen() -> None:
    past = [
        f"{module} imports {name}"
        for module, source in MODULES.items()
        for name in imports(source)
        if within(name, "memdbd.core")
        and not within(module, "memdbd.core")
        and module_of(name) != "memdbd.core"
        and not name.rpartition(".")[2].isupper()  # a constant, which both twins go by
    ]
    assert past == ["memdbd.effects imports memdbd.core.python"]  # for constants of it


def test_no_module_imports_itself_in_a_circle() -> None:
    assert cycles(MODULES) == []


@pytest.mark.parametrize("module", sorted(COMPOSITION_ROOTS))
def test_a_composition_root_imports_the_reactor_only_when_it_runs(module: str) -> None:
    tree = ast.parse(MODULES[module])
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside = [name for one in functions for name in imports(ast.unparse(one))]
    assert REACTOR in inside
    assert inside.count(REACTOR) == list(imports(MODULES[module])).count(REACTOR)


@pytest.mark.parametrize(
    ("module", "source", "complaint"),
    [
        ("memdbd.keyspace", "from memdbd.session import Session", "from a room below it"),
        ("memdbd.keyspace", "from memdbd import session", "from a room below it"),
        ("memdbd.keyspace", "import memdbd.session", "from a room below it"),
        ("memdbd.commands.keys", "from memdbd.commands.table import TYPES", "room below it"),
        ("memdbd.dispatch", "from memdbd.tap import Options", "from a room below it"),
        (
            "memdbd.pubsub",
            "if TYPE_CHECKING:\n    from memdbd.session import Session",
            "from a room below it",
        ),
        ("memdbd.glob", "def f():\n    from memdbd.tap import Root", "from a room below it"),
        ("memdbd.keyspace", "import time", "is pure and imports time"),
        ("memdbd.session", "def f():\n    import socket", "is pure and imports socket"),
        ("memdbd.dialects.text", "from os import path", "is pure and imports os.path"),
        ("memdbd.commands.strings", "import sys", "is pure and imports sys"),
        ("memdbd.pubsub", "from twisted.logger import Logger", "is pure and imports twisted"),
        ("memdbd.pubsub", "from zope.interface import Interface", "is pure and imports zope"),
        ("memdbd.daemon", "def f():\n    return open('x')", "is pure and calls open"),
        ("memdbd.config", "import twisted", "knows no Twisted"),
        ("memdbd.engines.local", "from twisted.internet import defer", "knows no Twisted"),
        ("memdbd.persistence.fs", "from zope.interface import Interface", "only the engines"),
        ("memdbd.protocol", "from twisted.internet import reactor", "imports the reactor"),
        ("memdbd.client.link", "import twisted.internet.reactor", "imports the reactor"),
        ("memdbd.attic", "", "is in no room"),
    ],
)
def test_a_violation_is_found(module: str, source: str, complaint: str) -> None:
    (found,) = complaints(module, source)
    assert complaint in found


def test_a_circle_is_found() -> None:
    made_up = MODULES | {"memdbd.client.wire": "from memdbd.client import render"}
    assert {"memdbd.client.wire", "memdbd.client.render"} <= set(cycles(made_up))
