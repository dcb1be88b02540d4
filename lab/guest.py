"""One guest: its virtual hardware, its life, and commands inside it over ssh.

ssh goes through QEMU's user network, never through the networks under test.
"""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lab.accelerator import KVM, TCG
from lab.apt import QEMU
from lab.errors import CommandError, GuestError
from lab.monitor import Monitor, open_monitor
from lab.process import Daemon
from lab.state import CommandResult, GuestDisks, LabPaths, NodeState, PfState
from lab.uplink import Uplink

# Two guests share the two cores of a small machine: under emulation a second CPU in each costs more than it gives.
CPUS = 1
# Five-level page tables (la57) cost an emulated CPU a tenth of its speed.
CPU_MODELS = {KVM: "host", TCG: "max,la57=off"}
MEMORY_MB = 1536
KERNEL_ARGUMENTS = (
    "console=ttyS0 quiet panic=-1 intel_iommu=on iommu=pt mitigations=off lsm=capability apparmor=0 audit=0 "
    "cryptomgr.notests random.trust_cpu=on nowatchdog systemd.show_status=0 8250.nr_uarts=2"
)
BOOT_SECONDS = 180
# The units whose end lab-stage@.service reports.
STAGES = ("ssh", "lab-vfs", "docker", "lab-carrier")
# A root port with nothing behind it, for a disk that is plugged in later.
SPARE_SLOT = "spare"
SSH_FAILED = 255  # ssh(1): an error of ssh itself
SSH_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "20",
    "ControlMaster": "auto",
    "ControlPersist": "600",
    "IdentitiesOnly": "yes",
    "KexAlgorithms": "curve25519-sha256",
    "LogLevel": "ERROR",
    "StrictHostKeyChecking": "yes",
}


class Guest:
    """A guest of a lab, running or not."""

    def __init__(self, state: NodeState, paths: LabPaths) -> None:
        self._state = state
        self._paths = paths

    @property
    def name(self) -> str:
        """The guest's host name."""
        return self._state.name

    @property
    def state(self) -> NodeState:
        """Where the guest's ssh port is, and what its PFs are."""
        return self._state

    @property
    def console_log(self) -> Path:
        """Everything the guest's kernel and systemd wrote to the serial console."""
        return self._paths.log / f"{self.name}-console.log"

    @property
    def stages_log(self) -> Path:
        """One line ``STAGE UPTIME`` for each step of the guest's start-up."""
        return self._paths.run / f"{self.name}.stages"

    def daemon(self, command: Sequence[str] = ()) -> Daemon:
        """The guest's QEMU process."""
        return Daemon(
            name=self.name,
            command=command,
            log_file=self._paths.log / f"{self.name}-qemu.log",
            pid_file=self._paths.run / f"{self.name}.pid",
            # Sockets are named relative to it.
            cwd=self._paths.run,
        )

    def start(
        self, disks: GuestDisks, identity: Path, uplinks: Sequence[Uplink], *, accelerator: str, listen: bool
    ) -> None:
        """Start the guest; ``listen`` says which end of its uplinks it is. Raises ProcessError."""
        for stale in (self.console_log, self.stages_log):
            stale.parent.mkdir(parents=True, exist_ok=True)
            stale.write_bytes(b"")
        hardware = (*self._machine(accelerator), *self._boot(disks, identity), *self._network(uplinks, listen=listen))
        self.daemon([QEMU, *hardware]).start()

    def wait_stage(self, stage: str, *, seconds: float) -> None:
        """Wait until the guest has reported ``stage`` of its start-up.

        Raises ProcessError if it ends instead, NotReadyError after ``seconds``.
        """

        def reached() -> bool:
            return any(line.split()[:1] == [stage] for line in self.stages_log.read_text().splitlines())

        self.daemon().wait_ready(reached, seconds=seconds, what=f"at stage {stage!r} (console: {self.console_log})")

    def stop(self) -> None:
        """End the guest at once: its disks are snapshots that nobody keeps."""
        self.daemon().stop()

    def reset(self) -> None:
        """Restart the guest as a failing power supply does, and return when it is up again.

        Its disk keeps what had reached it: what was synced is there, what was not may be gone. Raises GuestError,
        and what ``wait_stage`` raises.
        """
        with self._monitor() as monitor, monitor.reset():
            self.stages_log.write_bytes(b"")
            # Connections of before would wait for answers that never come.
            subprocess.run(self.ssh_command("-O", "exit"), capture_output=True, check=False, cwd=self._paths.run)
            for stage in STAGES:
                self.wait_stage(stage, seconds=BOOT_SECONDS)

    def unplug_pf(self, pf: PfState) -> None:
        """Take a PF from the kernel, its VFs with it, as if its card were pulled out. Raises CommandError."""
        self.run(f"echo 1 > /sys/bus/pci/devices/{pf.address}/remove")

    def replug_pf(self, pf: PfState) -> None:
        """Give an unplugged PF back, and return when it has carrier and all its VFs. Raises CommandError."""
        self.run(
            "echo 1 > /sys/bus/pci/rescan && udevadm settle && "
            # They ended with the PF.
            f"systemctl start lab-vfs@{pf.name}.service && systemctl restart lab-vfs.service lab-carrier.service",
            timeout=BOOT_SECONDS,
        )

    def plug_disk(self, name: str, file: Path) -> None:
        """Plug a read-only raw disk into the spare slot, where it also survives a reset; safe to repeat.

        The guest's kernel sees it a moment later. Raises GuestError.
        """
        with self._monitor() as monitor:
            monitor.plug_disk(name, file, bus=SPARE_SLOT)

    def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = True,
        timeout: float = 120,
        stdin: str | None = None,
    ) -> CommandResult:
        """Run a command as root in the guest: a string goes through its shell, a list does not.

        Raises CommandError if it ends with another code than 0 and ``check`` is set, GuestError if the
        guest cannot be reached or the command takes longer than ``timeout`` seconds.
        """
        words = command if isinstance(command, str) else shlex.join(command)
        try:
            done = subprocess.run(
                [*self.ssh_command(), words],
                input=stdin or "",
                capture_output=True,
                text=True,
                errors="replace",
                timeout=timeout,
                check=False,
                cwd=self._paths.run,
            )
        except subprocess.TimeoutExpired as exc:
            raise GuestError(f"{self.name}: no end of {words!r} after {timeout:.0f} s; see {self.console_log}") from exc
        result = CommandResult(command=words, code=done.returncode, stdout=done.stdout, stderr=done.stderr)
        if result.code == SSH_FAILED and not self.daemon().is_running():
            raise GuestError(f"{self.name} is not running; see {self.console_log}")
        if check and result.code != 0:
            raise CommandError(f"{self.name}: {words!r} ended with code {result.code}\n{result.stdout}{result.stderr}")
        return result

    def run_attached(self, command: Sequence[str]) -> int:
        """Run a command on our own stdin, stdout and stderr, or a shell if it is empty; returns its code."""
        words = command[0] if len(command) == 1 else shlex.join(command)
        if words:
            return subprocess.run([*self.ssh_command(), words], check=False, cwd=self._paths.run).returncode
        return subprocess.run(self.ssh_command("-t"), check=False, cwd=self._paths.run).returncode

    def put(self, source: Path, target: str) -> None:
        """Copy a file or a directory of this machine into the guest. Raises GuestError."""
        self._scp(str(Path(source).absolute()), f"root@127.0.0.1:{target}")

    def get(self, source: str, target: Path) -> None:
        """Copy a file or a directory out of the guest. Raises GuestError."""
        self._scp(f"root@127.0.0.1:{source}", str(Path(target).absolute()))

    def ssh_command(self, *options: str) -> list[str]:
        """The ssh command line that ends before the remote command; to be run in the run directory."""
        return ["ssh", *self._ssh_options(), "-p", str(self._state.ssh_port), *options, "--", "root@127.0.0.1"]

    def _monitor(self) -> AbstractContextManager[Monitor]:
        return open_monitor(self.name, self._paths.run / self._monitor_socket)

    @property
    def _monitor_socket(self) -> str:
        # Relative to QEMU's working directory, as the uplinks' sockets.
        return f"{self.name}.qmp"

    def _ssh_options(self) -> list[str]:
        options = {
            **SSH_OPTIONS,
            "ControlPath": f"{self.name}.ssh",
            "IdentityFile": str(self._paths.client_key),
            "UserKnownHostsFile": str(self._paths.known_hosts),
        }
        return ["-F", "none", *(word for key, value in options.items() for word in ("-o", f"{key}={value}"))]

    def _scp(self, source: str, target: str) -> None:
        command = ["scp", "-q", "-r", *self._ssh_options(), "-P", str(self._state.ssh_port), source, target]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._paths.run)
        if done.returncode != 0:
            raise GuestError(f"{self.name}: cannot copy {source} to {target}: {done.stderr.strip()}")

    def _machine(self, accelerator: str) -> list[str]:
        return [
            *("-name", f"{self.name},process=lab-{self.name}", "-nodefaults", "-no-user-config", "-display", "none"),
            *("-machine", "q35,kernel-irqchip=off", "-accel", accelerator, "-no-reboot"),
            *("-cpu", CPU_MODELS[accelerator], "-smp", str(CPUS), "-m", str(MEMORY_MB)),
            *("-device", "intel-iommu,intremap=off", "-device", "virtio-rng-pci,addr=0x9"),
            *("-qmp", f"unix:{self._monitor_socket},server=on,wait=off"),
            *("-serial", f"file:{self.console_log}"),
            # Appended to, so that a reset can begin it anew.
            *("-chardev", f"file,id=stages,path={self.stages_log},append=on", "-serial", "chardev:stages"),
        ]

    def _boot(self, disks: GuestDisks, identity: Path) -> list[str]:
        arguments = [
            *("-kernel", str(disks.kernel), "-initrd", str(disks.initramfs)),
            *("-append", f"{KERNEL_ARGUMENTS} systemd.hostname={self.name}"),
            *("-drive", f"file={disks.root},if=none,id=vda,format=raw,snapshot=on,cache=unsafe"),
        ]
        for drive_id, file in (("vdb", disks.libraries), ("vdc", disks.application), ("vdd", identity)):
            arguments += ["-drive", f"file={file},if=none,id={drive_id},format=raw,readonly=on"]
        for slot, drive_id in enumerate(("vda", "vdb", "vdc", "vdd"), start=0x10):
            arguments += ["-device", f"virtio-blk-pci,drive={drive_id},addr={slot:#x}"]
        return arguments

    def _network(self, uplinks: Sequence[Uplink], *, listen: bool) -> list[str]:
        arguments = [
            *("-netdev", f"user,id=management,hostfwd=tcp:127.0.0.1:{self._state.ssh_port}-:22"),
            *("-device", "virtio-net-pci,netdev=management,romfile=,addr=0x8"),
        ]
        for number, (uplink, pf) in enumerate(zip(uplinks, self._state.pfs, strict=True), start=1):
            # A root port of its own gives each PF a bus of its own, with room for its VFs.
            arguments += [
                *("-netdev", uplink.netdev(f"uplink{number}", listen=listen)),
                *("-device", f"pcie-root-port,id=port{number},chassis={number},addr={number:#x}"),
                *("-device", f"igb,netdev=uplink{number},bus=port{number},romfile=,mac={pf.mac}"),
            ]
        number = len(uplinks) + 1
        return [*arguments, "-device", f"pcie-root-port,id={SPARE_SLOT},chassis={number},addr={number:#x}"]
