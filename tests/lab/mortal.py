"""Daemons in the guests that die when they are told to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lab.node import UNIT, MooringNode

_LAUNCHER = Path(__file__).parent / "in_guest/crashing_node.py"
_ORDER, _DROP_IN = "/run/mooring-crash", f"/run/systemd/system/{UNIT}.d/crash.conf"
_OVERRIDE = f"""\
[Service]
Environment=PYTHONPATH=/opt/mooring/app:/opt/mooring/lib
ExecStart=
ExecStart=/usr/bin/python3 /run/{_LAUNCHER.name} node
"""


@contextmanager
def mortal(nodes: Sequence[MooringNode]) -> Iterator[None]:
    """Have the daemons on some nodes obey orders to die; they are what they were from their next start on."""
    with ThreadPoolExecutor() as pool:
        try:
            list(pool.map(_override, nodes))
            yield
        finally:
            list(pool.map(_restore, nodes))


def order(node: MooringNode, words: str) -> None:
    """Tell a daemon when to die: ``before`` or ``after`` one of the writes that its launcher knows."""
    node.write(_ORDER, words)


def is_obeyed(node: MooringNode) -> bool:
    """Tell whether a daemon has died as it was told."""
    return node.guest.run(f"test -e {_ORDER}", check=False).code == 1


def _restore(node: MooringNode) -> None:
    node.guest.run(f"rm -f {_DROP_IN} {_ORDER}; systemctl daemon-reload")


def _override(node: MooringNode) -> None:
    node.guest.put(_LAUNCHER, "/run")
    node.guest.run(f"mkdir -p $(dirname {_DROP_IN})")
    node.write(_DROP_IN, _OVERRIDE)
    node.guest.run(f"systemctl daemon-reload && systemctl restart {UNIT}")
