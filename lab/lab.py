"""The lab as a whole: images, two guests, the wires between them, Neutron beside them."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.accelerator import choose_accelerator
from lab.apt import ensure_host_packages
from lab.cache import Cache
from lab.drives import GuestFile, application_drive, library_disk, write_tar_drive
from lab.errors import GuestError, LabError
from lab.guest import BOOT_SECONDS, STAGES, Guest
from lab.image import RELEASES, BaseImage, base_image
from lab.image.command import build_step
from lab.neutron import GUEST_VIEW_OF_HOST, NeutronCloud
from lab.progress import Progress
from lab.state import GuestDisks, LabPaths, LabState, NodeState, PfState
from lab.uplink import Uplink

NODES = ("node1", "node2")
UPLINKS = (Uplink("physnet1"), Uplink("physnet2"))


class Lab:
    """One lab: everything below one directory. Labs of different directories do not meet."""

    def __init__(self, paths: LabPaths, cache: Cache) -> None:
        self._paths = paths
        self._cache = cache

    @classmethod
    def default(cls) -> Lab:
        """The lab of this checkout, or the one that ``MOORING_LAB_DIR`` names."""
        return cls(LabPaths.default(), Cache.default())

    @property
    def paths(self) -> LabPaths:
        """Where this lab's files are."""
        return self._paths

    def state(self) -> LabState | None:
        """What the lab was started as; None if it was not."""
        try:
            return LabState.model_validate_json(self._paths.state.read_text())
        except FileNotFoundError:
            return None

    def guests(self) -> Mapping[str, Guest]:
        """The lab's guests by name, running or not. Raises GuestError if the lab was not started."""
        state = self.state()
        if state is None:
            raise GuestError(f"there is no lab in {self._paths.directory}; start one with: python -m lab up")
        return {node.name: Guest(node, self._paths) for node in state.nodes}

    def guest(self, name: str) -> Guest:
        """One guest. Raises GuestError if there is none of that name, or it does not run."""
        guests = self.guests()
        if name not in guests:
            raise GuestError(f"no guest {name!r}; there are {', '.join(guests)}")
        if not guests[name].daemon().is_running():
            raise GuestError(f"{name} does not run; start it with: python -m lab up")
        return guests[name]

    @property
    def cloud(self) -> NeutronCloud:
        """Neutron beside the guests, running or not."""
        return NeutronCloud(self._paths.directory / "neutron")

    def is_up(self) -> bool:
        """Whether all of this lab runs: its guests, and Neutron if it was started with it."""
        state = self.state()
        if state is None or (state.neutron and not self.cloud.is_running()):
            return False
        return all(guest.daemon().is_running() for guest in self.guests().values())

    def build(self, release: str, progress: Progress, *, neutron: bool) -> tuple[BaseImage, GuestDisks]:
        """Install what the host lacks and build what the cache lacks. Raises LabError."""
        with progress.stage("host packages"):
            ensure_host_packages()
        with ThreadPoolExecutor() as pool:
            installed = pool.submit(self.cloud.install) if neutron else None
            images = self._build_images(release, progress)
            if installed is not None:
                with progress.stage("Neutron's programs"):
                    installed.result()
        return images

    def _build_images(self, release: str, progress: Progress) -> tuple[BaseImage, GuestDisks]:
        with progress.stage(f"base image ({release})"):
            image = base_image(RELEASES[release], self._cache)
        with progress.stage("Python libraries"):
            libraries = library_disk(image, self._cache)
        with progress.stage("mooring"):
            application = application_drive(image, self._cache)
        return image, GuestDisks(
            kernel=image.kernel,
            initramfs=image.initramfs,
            root=image.disk,
            libraries=libraries,
            application=application,
        )

    def up(self, release: str, progress: Progress, *, neutron: bool = True) -> LabState:
        """Start the lab and return when all of it is ready; on any error nothing is left running.

        Raises LabError, also if this lab is already up.
        """
        if self.is_up():
            raise LabError(f"the lab in {self._paths.directory} is already up")
        self.down()
        image, disks = self.build(release, progress, neutron=neutron)
        with progress.stage("accelerator"):
            accelerator = choose_accelerator(image, self._cache.root / "accelerator")
        state = LabState(guest_release=release, accelerator=accelerator, neutron=neutron, nodes=tuple(_new_nodes()))
        self._prepare(state)
        try:
            self._boot(state, disks, progress)
        except BaseException:
            # Ctrl-C included: a half-started lab must not stay.
            self.down()
            raise
        return state

    def down(self) -> None:
        """End everything this lab started, in this or an earlier run; keeps the logs. Safe to repeat."""
        for name in NODES:
            Guest(NodeState(name=name, ssh_port=0, pfs=()), self._paths).stop()
        self.cloud.stop()
        self._paths.state.unlink(missing_ok=True)

    def _prepare(self, state: LabState) -> None:
        self._paths.run.mkdir(parents=True, exist_ok=True)
        self._paths.log.mkdir(parents=True, exist_ok=True)
        for old in (*self._paths.run.iterdir(), *self._paths.log.glob("node*")):
            if not old.is_dir():
                old.unlink()
        for key in (self._paths.client_key, self._paths.host_key):
            build_step(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "mooring-lab", "-f", key])
        host_key = _public(self._paths.host_key)
        known = (f"[127.0.0.1]:{node.ssh_port} {host_key}\n" for node in state.nodes)
        self._paths.known_hosts.write_text("".join(known))
        for number, node in enumerate(state.nodes, start=1):
            write_tar_drive(self._identity_drive(node), self._identity(node, number))
        self._paths.state.write_text(state.model_dump_json(indent=2) + "\n")

    def _identity_drive(self, node: NodeState) -> Path:
        return self._paths.run / f"{node.name}-identity.tar"

    def _identity(self, node: NodeState, number: int) -> Iterator[GuestFile]:
        yield GuestFile(path="etc/hostname", content=f"{node.name}\n")
        yield GuestFile(
            path="etc/hosts", content=f"127.0.0.1 localhost\n127.0.1.1 {node.name}\n{GUEST_VIEW_OF_HOST} host\n"
        )
        yield GuestFile(path="etc/machine-id", content=f"{number:032x}\n")
        yield GuestFile(path="root/.ssh/authorized_keys", content=_public(self._paths.client_key) + "\n", mode=0o600)
        host_key = "etc/ssh/ssh_host_ed25519_key"
        yield GuestFile(path=host_key, content=self._paths.host_key.read_text(), mode=0o600)
        yield GuestFile(path=f"{host_key}.pub", content=_public(self._paths.host_key) + "\n")

    def _boot(self, state: LabState, disks: GuestDisks, progress: Progress) -> None:
        guests = [Guest(node, self._paths) for node in state.nodes]
        with ThreadPoolExecutor() as pool:
            try:
                for number, guest in enumerate(guests):
                    identity = self._identity_drive(guest.state)
                    guest.start(disks, identity, UPLINKS, accelerator=state.accelerator, listen=number == 0)
                started = pool.submit(self.cloud.start) if state.neutron else None
                for stage in STAGES:
                    with progress.stage(f"guests: {stage}"):
                        for guest in guests:
                            guest.wait_stage(stage, seconds=BOOT_SECONDS)
                if started is not None:
                    with progress.stage("Neutron"):
                        started.result()
            except BaseException:
                # Makes the other thread fail at once, instead of being waited for.
                self.down()
                raise


def _new_nodes() -> Iterator[NodeState]:
    with contextlib.ExitStack() as sockets:
        for number, name in enumerate(NODES, start=1):
            # All are held open until all are chosen, so that they differ.
            listener = sockets.enter_context(socket.socket())
            listener.bind(("127.0.0.1", 0))
            yield NodeState(
                name=name,
                ssh_port=listener.getsockname()[1],
                pfs=tuple(
                    PfState(
                        physical_network=uplink.physical_network,
                        mac=f"52:54:00:{number:02x}:{slot:02x}:00",
                        # The bus that firmware gives to root port number `slot`, and systemd's name for it.
                        address=f"0000:{slot:02x}:00.0",
                        name=f"enp{slot}s0",
                    )
                    for slot, uplink in enumerate(UPLINKS, start=1)
                ),
            )


def _public(key: Path) -> str:
    return key.with_suffix(".pub").read_text().strip()
