"""Mooring's kernel edge on the real cards of a guest, held to the contract that the fake kernel keeps too."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from lab.guest import Guest

pytestmark = pytest.mark.long

PROJECT = Path(__file__).parents[2]
SUITES = ("linux_kernel.py", "linux_lending.py")
CONTRACTS = ("kernel_contract.py", "lending_contract.py")
# The guest has mooring and what it needs. The tests' own framework is plain Python and comes along.
FRAMEWORK = ("pytest", "_pytest", "py.py", "pluggy", "iniconfig", "pygments")
TARGET = "/tmp/kernel-contract"
SECONDS = 600


@pytest.fixture
def quiet_node(node1: Guest, without_mooring: None) -> Guest:
    """A guest whose VFs nobody else cleans meanwhile, and whose udev leaves them alone."""
    del without_mooring
    for source, target in (("70-mooring.rules", "/etc/udev/rules.d"), ("70-mooring.link", "/etc/systemd/network")):
        node1.run(f"cat > {target}/{source}", stdin=(PROJECT / "packaging/udev" / source).read_text())
    node1.run("udevadm control --reload")
    return node1


@pytest.fixture
def kit(tmp_path: Path) -> Path:
    site_packages = Path(pytest.__file__).parents[1]
    members = [site_packages / name for name in FRAMEWORK]
    members += [PROJECT / "tests/unit" / name for name in CONTRACTS]
    members += [PROJECT / "tests/lab/in_guest" / name for name in SUITES]
    path = tmp_path / "kit.tar"
    with tarfile.open(path, "w") as archive:
        for member in members:
            archive.add(member, member.name, filter=lambda info: None if "__pycache__" in info.name else info)
    return path


@pytest.mark.timeout(SECONDS)
@pytest.mark.parametrize("suite", SUITES)
def test_the_kernel_of_a_guest_keeps_the_contract(quiet_node: Guest, kit: Path, suite: str) -> None:
    quiet_node.put(kit, f"{TARGET}.tar")
    ran = quiet_node.run(
        f"mkdir -p {TARGET} && cd {TARGET} && tar xf {TARGET}.tar && "
        f"PYTHONPATH={TARGET}:/opt/mooring/app:/opt/mooring/lib python3 -m pytest -q -p no:cacheprovider {suite}",
        check=False,
        timeout=SECONDS,
    )
    assert ran.code == 0, ran.stdout + ran.stderr
