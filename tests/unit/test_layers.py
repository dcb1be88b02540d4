"""Imports go one way: doors, cores, edges, pci, errors. Whoever reads a module knows what it cannot depend on."""

import ast
import graphlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"

# What each part may import of mooring, itself and the bare package aside. The longest prefix that fits decides.
ALLOWED: Mapping[str, tuple[str, ...]] = {
    "mooring.errors": (),
    "mooring.suggestions": (),
    "mooring.plugins": (),
    "mooring.statefile": ("mooring.errors",),
    "mooring.messaging": (),
    "mooring.process": (),
    "mooring.pci": ("mooring.errors", "mooring.suggestions"),
    "mooring.host": ("mooring.errors", "mooring.pci"),
    "mooring.neutron": ("mooring.errors", "mooring.pci", "mooring.messaging"),
    "mooring.config": (
        *("mooring.errors", "mooring.suggestions", "mooring.plugins", "mooring.pci"),
        "mooring.controller.scheduler.names",
    ),
    "mooring.attach": (
        *("mooring.errors", "mooring.plugins", "mooring.pci", "mooring.statefile"),
        *("mooring.host.kernel", "mooring.host.virtual"),
        *("mooring.neutron.api", "mooring.neutron.model", "mooring.neutron.binding", "mooring.neutron.qos"),
    ),
    "mooring.libnetwork": (
        *("mooring.errors", "mooring.suggestions", "mooring.pci", "mooring.statefile", "mooring.attach.types"),
        *("mooring.neutron.api", "mooring.neutron.model", "mooring.config.settings", "mooring.process.server"),
        "mooring.attach.lasting",
    ),
    "mooring.container": ("mooring.errors", "mooring.pci", "mooring.neutron.model"),
    "mooring.rpc": ("mooring.errors", "mooring.container", "mooring.pci", "mooring.neutron.model", "mooring.messaging"),
    "mooring.db": (
        *("mooring.errors", "mooring.container", "mooring.pci", "mooring.neutron.model", "mooring.rpc.messages"),
    ),
    "mooring.controller": (
        *("mooring.errors", "mooring.suggestions", "mooring.container", "mooring.pci", "mooring.db.api"),
        *("mooring.rpc.api", "mooring.rpc.messages", "mooring.config.settings", "mooring.process.watchdog"),
        *("mooring.neutron.api", "mooring.neutron.model", "mooring.neutron.binding"),
    ),
    "mooring.controller.wiring": ("mooring",),
    **dict.fromkeys(("mooring.controller.daemon", "mooring.controller.all_in_one"), ("mooring",)),
    "mooring.controller.metrics": ("mooring.errors", "mooring.controller.clock", "mooring.db.api"),
    "mooring.api": (
        *("mooring.errors", "mooring.suggestions", "mooring.container", "mooring.pci", "mooring.db.api"),
        *("mooring.rpc.messages", "mooring.controller.api", "mooring.neutron.model", "mooring.config.settings"),
    ),
    # A fake replaces what talks, and shares the rules about what is said.
    "mooring.testing": (
        *("mooring.errors", "mooring.pci", "mooring.attach.types", "mooring.neutron.api", "mooring.neutron.model"),
        *("mooring.host.kernel", "mooring.host.failures", "mooring.host.settings", "mooring.host.resizing"),
        "mooring.host.vf_info",
        *("mooring.neutron.ports", "mooring.neutron.networks", "mooring.neutron.resources", "mooring.neutron.parse"),
        *("mooring.neutron.news", "mooring.container", "mooring.node.containers.runtime"),
        *("mooring.rpc.api", "mooring.rpc.messages"),
    ),
    "mooring.node": (
        *("mooring.errors", "mooring.pci", "mooring.host", "mooring.neutron", "mooring.config"),
        *("mooring.attach", "mooring.libnetwork", "mooring.container", "mooring.rpc", "mooring.process"),
        "mooring.statefile",
    ),
    "mooring.cli": ("mooring",),
    "mooring.__main__": ("mooring.cli",),
}

# Libraries that speak to a neighbour, and the edges that may use them.
EDGES: Mapping[str, tuple[str, ...]] = {
    "pyroute2": ("mooring.host",),
    "keystoneauth1": ("mooring.neutron", "mooring.config", "mooring.cli.service"),
    "openstack": ("mooring.cli.service.access",),
    "oslo_messaging": ("mooring.messaging", "mooring.config"),
    "oslo_service": ("mooring.messaging",),
    "oslo_config": ("mooring.config", "mooring.messaging", "mooring.api.policy", "mooring.api.authentication"),
    "sqlite3": ("mooring.statefile",),
    "sqlalchemy": ("mooring.db",),
    "alembic": ("mooring.db",),
    "flask": ("mooring.api",),
    "oslo_policy": ("mooring.api.policy",),
    "keystonemiddleware": ("mooring.api.authentication",),
    "docker": ("mooring.node.docker", "mooring.node.containers"),
    "prometheus_client": (
        *("mooring.process.metrics", "mooring.node.metrics", "mooring.node.host_metrics", "mooring.controller.metrics"),
    ),
}

Imports = Mapping[str, frozenset[str]]


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def read_imports(root: Path) -> Imports:
    """Return what each module under a source root imports, wherever in its text.

    Imports for annotations alone (TYPE_CHECKING) count, too: who needs another's types depends on it.
    """
    paths = {module_name(path, root): path for path in sorted(root.rglob("*.py"))}
    return {module: frozenset(imported(module, path, paths)) for module, path in paths.items()}


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(module: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                source = ".".join([*above, *([node.module] if node.module else [])])
                for alias in node.names:
                    # `from package import name` imports a module if there is one of that name.
                    submodule = f"{source}.{alias.name}"
                    yield submodule if submodule in known else source


def layer_of(module: str) -> str | None:
    return max((layer for layer in ALLOWED if within(module, layer)), key=len, default=None)


def outward(imports: Imports) -> list[str]:
    """Return the imports that go the wrong way."""
    wrong = []
    for module, targets in imports.items():
        layer = layer_of(module)
        if layer is None:
            if module != "mooring":
                wrong.append(f"{module} belongs to no layer")
            continue
        wrong += [
            f"{module} imports {target}"
            for target in sorted(targets)
            if within(target, "mooring")
            and target != "mooring"
            and not any(within(target, allowed) for allowed in (layer, *ALLOWED[layer]))
        ]
    return wrong


def smuggled(imports: Imports) -> list[str]:
    """Return the imports of a neighbour's library from outside its edge."""
    return [
        f"{module} imports {target}"
        for module, targets in imports.items()
        for target in sorted(targets)
        for library, edges in EDGES.items()
        if within(target, library) and not any(within(module, edge) for edge in edges)
    ]


def reachable(imports: Imports, package: str) -> set[str]:
    """Return all that loading a package's modules loads, those aside that are a layer of their own."""
    reached: set[str] = set()
    pending = [module for module in imports if layer_of(module) == package]
    while pending:
        module = pending.pop()
        if module not in reached:
            reached.add(module)
            pending += imports.get(module, ())
    return reached


def cycle(imports: Imports) -> list[str]:
    """Return the modules of one import cycle, or nothing."""
    graph = {module: {target for target in targets if target in imports} for module, targets in imports.items()}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as exc:
        return list(exc.args[1])
    return []


@pytest.fixture(scope="module")
def real() -> Imports:
    return read_imports(SOURCE)


def test_no_module_imports_outward(real: Imports) -> None:
    assert outward(real) == []


def test_neighbours_are_spoken_to_through_their_edge_alone(real: Imports) -> None:
    assert smuggled(real) == []


def test_what_needs_no_neighbour_loads_without_the_neighbours_library(real: Imports) -> None:
    # What comes with Python is there everywhere.
    libraries = EDGES.keys() - sys.stdlib_module_names
    for package in ("mooring.testing", "mooring.attach", "mooring.libnetwork", "mooring.controller"):
        reached = reachable(real, package)
        assert [f"{package} needs {module}" for module in reached if module.partition(".")[0] in libraries] == []


def test_no_modules_import_each_other_in_a_circle(real: Imports) -> None:
    assert cycle(real) == []


def test_the_tree_that_is_walked_is_the_real_one(real: Imports) -> None:
    assert "mooring.errors" in real["mooring.pci.address"]


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("pci/x.py", "import mooring.host.kernel", "mooring.pci.x imports mooring.host.kernel"),
        ("pci/x.py", "from mooring.config import load", "mooring.pci.x imports mooring.config"),
        ("libnetwork/x.py", "from mooring.host import kernel", "mooring.libnetwork.x imports mooring.host.kernel"),
        ("attach/x.py", "from ..host import sysfs", "mooring.attach.x imports mooring.host"),
        ("attach/__init__.py", "from ..libnetwork.x import y", "mooring.attach imports mooring.libnetwork.x"),
        ("errors.py", "def f():\n    from mooring.pci.address import PciAddress", "mooring.errors imports mooring.pci"),
        ("node/x.py", "if TYPE_CHECKING:\n    import mooring.cli.main", "mooring.node.x imports mooring.cli.main"),
        ("drawer/x.py", "", "mooring.drawer.x belongs to no layer"),
    ],
)
def test_a_planted_import_outward_is_found(tmp_path: Path, module: str, text: str, found: str) -> None:
    plant(tmp_path, "host/kernel.py", "")
    plant(tmp_path, module, text)

    assert any(wrong.startswith(found) for wrong in outward(read_imports(tmp_path)))


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("attach/x.py", "from mooring.host import kernel\nfrom mooring.host.kernel import Kernel"),
        ("attach/x.py", "from . import y\nfrom .drivers import sriov\nimport json"),
        ("pci/x.py", "from ..errors import MooringError\nfrom mooring import __version__"),
        ("cli/x.py", "import mooring.node.wiring"),
    ],
)
def test_an_import_inward_or_of_the_same_part_is_no_fault(tmp_path: Path, module: str, text: str) -> None:
    plant(tmp_path, "host/kernel.py", "")
    plant(tmp_path, module, text)

    assert outward(read_imports(tmp_path)) == []


@pytest.mark.parametrize(
    ("module", "text", "found"),
    [
        ("attach/x.py", "from pyroute2.netlink.exceptions import NetlinkError", "pyroute2.netlink.exceptions"),
        ("libnetwork/x.py", "import keystoneauth1.session", "keystoneauth1.session"),
        ("node/x.py", "import oslo_messaging", "oslo_messaging"),
        ("attach/x.py", "import sqlite3", "sqlite3"),
    ],
)
def test_a_planted_use_of_a_neighbours_library_is_found(tmp_path: Path, module: str, text: str, found: str) -> None:
    plant(tmp_path, module, text)

    (wrong,) = smuggled(read_imports(tmp_path))
    assert wrong.endswith(f"imports {found}")


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    plant(tmp_path, "pci/a.py", "from mooring.pci import b")
    plant(tmp_path, "pci/b.py", "from mooring.pci.c import x")
    plant(tmp_path, "pci/c.py", "import mooring.pci.a")

    assert set(cycle(read_imports(tmp_path))) == {"mooring.pci.a", "mooring.pci.b", "mooring.pci.c"}


def plant(root: Path, module: str, text: str) -> None:
    path = root / "mooring" / module
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
