"""What is put into a guest beside its base image: Python libraries, mooring, who it is, and Neutron's agents.

A change of mooring, or of its requirements, thus never rebuilds a base image. The libraries are a disk;
mooring and the identity are tar files that the initramfs reads straight from a drive. The agents are a disk
that is made, and plugged in, when somebody asks for them.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
import tarfile
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from lab.cache import Cache, content_key, tree_parts
from lab.image import BaseImage
from lab.image.command import build_step

PROJECT = Path(__file__).resolve().parent.parent
LIBRARIES = "opt/mooring/lib"
APPLICATION = "opt/mooring/app"
AGENTS = "opt/neutron"
# neutron imports pyroute2 without declaring it. WebOb wants legacy-cgi where Python has lost cgi; pip asks its own
# Python about that, not the guest's.
AGENT_PACKAGES = ("neutron", "pyroute2", "legacy-cgi")
AGENT_CONSTRAINTS = PROJECT / "lab/neutron/constraints.txt"
# On PyPI as source only; pure Python where Open vSwitch's own headers are absent.
AGENT_SOURCES = ("ovs",)
PLATFORMS = ("manylinux_2_34", "manylinux_2_28", "manylinux_2_17", "manylinux2014", "manylinux1")
DISK_SLACK = 1.15
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def node_requirements(pyproject: str) -> tuple[str, ...]:
    """What a node installs: the project's dependencies and its extra ``node``."""
    project = tomllib.loads(pyproject)["project"]
    return (*project["dependencies"], *project["optional-dependencies"]["node"])


def library_disk(image: BaseImage, cache: Cache, project: Path = PROJECT) -> Path:
    """A disk with the node's Python libraries, for /opt/mooring/lib. Raises ImageError."""
    requirements = node_requirements((project / "pyproject.toml").read_text())
    constraints = project / "constraints.txt"

    def build(directory: Path) -> None:
        def install(target: Path) -> None:
            _pip_install(image, target, f"--constraint={constraints}", *requirements)

        _write_disk(_installed(image, directory, LIBRARIES, install), directory / "libraries.ext4", label="libraries")
        shutil.rmtree(directory / "root")

    key = content_key([image.release.python, *requirements, constraints.read_bytes(), Path(__file__).read_bytes()])
    return cache.get(f"libraries-{image.release.codename}", key, build) / "libraries.ext4"


def agents_disk(image: BaseImage, cache: Cache) -> Path:
    """A disk with Neutron's own agents, of the release that the lab's server is, for /opt/neutron. Raises ImageError.

    Its file system is labelled ``neutron``.
    """

    def build(directory: Path) -> None:
        def install(target: Path) -> None:
            constraint, wheels = f"--constraint={AGENT_CONSTRAINTS}", directory / "wheels"
            build_step([*PIP, "wheel", "--no-deps", f"--wheel-dir={wheels}", constraint, *AGENT_SOURCES])
            _pip_install(image, target, f"--find-links={wheels}", constraint, *AGENT_PACKAGES)
            for program in (target / "bin").iterdir():
                # pip names the Python that it ran with.
                program.write_text("#!/usr/bin/python3\n" + program.read_text().partition("\n")[2])

        _write_disk(_installed(image, directory, AGENTS, install), directory / "agents.ext4", label="neutron")
        shutil.rmtree(directory / "root")

    parts: list[str | bytes] = [
        image.release.python,
        *AGENT_PACKAGES,
        AGENT_CONSTRAINTS.read_bytes(),
        Path(__file__).read_bytes(),
    ]
    return cache.get(f"agents-{image.release.codename}", content_key(parts), build) / "agents.ext4"


def application_drive(image: BaseImage, cache: Cache, project: Path = PROJECT) -> Path:
    """A tar drive with mooring as it is in the checkout, installed and byte-compiled. Raises ImageError."""
    metadata = [project / name for name in ("pyproject.toml", "README.md", "LICENSE")]

    def build(directory: Path) -> None:
        def install(target: Path) -> None:
            # From a copy: a build in the checkout would leave files there, and pick up stale ones.
            copy = directory / "source"
            shutil.copytree(project / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
            for file in metadata:
                shutil.copy(file, copy / file.name)
            build_step([*PIP, "install", "--no-compile", "--no-deps", f"--target={target}", copy])
            shutil.rmtree(copy)

        _installed(image, directory, APPLICATION, install)
        build_step(
            ["tar", "--owner=0", "--group=0", "-C", directory / "root", "-cf", directory / "app.tar", APPLICATION]
        )
        shutil.rmtree(directory / "root")

    sources = tree_parts(project / "src", "**/*")
    parts = [image.release.python, *sources, *(file.read_bytes() for file in metadata), Path(__file__).read_bytes()]
    return cache.get(f"application-{image.release.codename}", content_key(parts), build) / "app.tar"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestFile:
    """One file of a guest's identity."""

    path: str
    content: str
    mode: int = 0o644


def write_tar_drive(target: Path, files: Iterable[GuestFile]) -> None:
    """Write ``files``, owned by root, as a tar that the initramfs unpacks over the root."""
    with tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as tar:
        for file in files:
            data = file.content.encode()
            entry = tarfile.TarInfo(file.path)
            entry.size, entry.mode = len(data), file.mode
            tar.addfile(entry, io.BytesIO(data))


def _pip_install(image: BaseImage, target: Path, *arguments: str) -> None:
    """Install wheels for the guest's Python, which need not be ours, into ``target``."""
    guest = [
        f"--python-version={image.release.python}",
        "--implementation=cp",
        "--only-binary=:all:",
        *(f"--platform={platform}_x86_64" for platform in PLATFORMS),
    ]
    build_step([*PIP, "install", "--no-compile", f"--target={target}", *guest, *arguments])


def _write_disk(tree: Path, disk: Path, *, label: str) -> None:
    used = int(build_step(["du", "--summarize", "--block-size=1M", tree]).split()[0])
    size = f"{int(used * DISK_SLACK) + 16}M"
    options = ("-O", "^has_journal", "-m", "0", "-L", label)
    build_step(["mke2fs", "-q", "-t", "ext4", *options, "-d", tree, disk, size])


def _installed(image: BaseImage, directory: Path, path: str, install: Callable[[Path], None]) -> Path:
    """Install into ``path`` below a root with the guest's Python, and byte-compile with that Python."""
    root = directory / "root"
    shutil.copytree(image.python_root, root, symlinks=True, copy_function=os.link)
    target = root / path
    target.mkdir(parents=True)
    install(target)
    python = f"/usr/bin/python{image.release.python}"
    build_step(["chroot", root, python, "-m", "compileall", "-q", f"/{path}"])
    return target
