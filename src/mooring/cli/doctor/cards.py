"""The host's cards, and what the device spec makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from mooring.cli.doctor.verdicts import Verdict, well, wrong
from mooring.host.facts import has_iommu, has_module, is_driver_loaded
from mooring.host.kernel import VFIO, Kernel
from mooring.pci.device import PhysicalFunction
from mooring.pci.device_spec import DeviceSpec, first_match

_BIOS = "enable SR-IOV (VT-d, AMD-Vi) in the firmware"


def specs_match(pfs: Iterable[PhysicalFunction], specs: Iterable[DeviceSpec]) -> Iterator[Verdict]:
    """Look for entries of the device spec that no card and no VF of this host fits."""
    pfs = tuple(pfs)
    for spec in specs:
        vfs = sum(spec.matches(vf, pf) for pf in pfs for vf in pf.vfs)
        cards = sum(spec.matches(pf, None) for pf in pfs)
        if vfs or cards:
            yield well("device spec", f"{spec.text} fits {cards} PFs and {vfs} VFs")
            continue
        names = ", ".join(f"{pf.netdev or 'no interface'} {pf.address} {pf.vendor_info}" for pf in pfs) or "none"
        yield wrong(
            "device spec", f"{spec.text} fits nothing", f"correct or remove it; the SR-IOV cards here are: {names}"
        )


def admitted_cards(pfs: Iterable[PhysicalFunction], specs: Iterable[DeviceSpec]) -> tuple[PhysicalFunction, ...]:
    """Return the cards that the device spec admits, themselves or by one of their VFs."""
    specs = tuple(specs)
    return tuple(pf for pf in pfs if first_match(specs, pf, None) or any(first_match(specs, vf, pf) for vf in pf.vfs))


def vfs_present(cards: Iterable[PhysicalFunction], *, lends_cards: bool) -> Iterator[Verdict]:
    """Look for cards without VFs; ``lends_cards`` says that ports of vnic_type direct-physical are served here."""
    for pf in cards:
        check, told = f"VFs of {pf.netdev or pf.address}", f"{len(pf.vfs)} of {pf.total_vfs}"
        if pf.vfs or lends_cards:
            yield well(check, told)
        elif pf.total_vfs == 0:
            yield wrong(check, told, f"{_BIOS} and in the card's own settings")
        else:
            yield wrong(check, told, f"mooring pci set-numvfs {pf.netdev or pf.address} {pf.total_vfs}")


def links_up(cards: Iterable[PhysicalFunction], kernel: Kernel) -> Iterator[Verdict]:
    """Look for cards whose interface is down, has no carrier, or is not in the host's network namespace."""
    for pf in cards:
        check, netdev = f"link of {pf.netdev or pf.address}", kernel.netdev(pf)
        if netdev is None:
            yield wrong(
                check,
                f"card {pf.address} has no interface in the host's network namespace",
                "bring it back from where it is, and see that its driver is bound",
            )
        elif not netdev.up:
            yield wrong(check, "down", f"ip link set {netdev.name} up, and have the host's configuration do so at boot")
        elif not netdev.carrier:
            yield wrong(check, "up, but without carrier", "connect the card to a switch, and see the switch's port")
        else:
            yield well(check, f"up, MTU {netdev.mtu}")


def networks_served(mappings: Mapping[str, tuple[str, ...]]) -> Verdict:
    """Say which physical networks ports may be on."""
    check = "physical networks"
    if not mappings:
        return wrong(
            check, "none is served", "give the entries of [pci] device_spec a physical_network, and the cards VFs"
        )
    return well(check, "; ".join(f"{network}: {', '.join(names)}" for network, names in sorted(mappings.items())))


def iommu(root: Path, *, needed: bool) -> Verdict:
    """Say whether the host has an IOMMU, which only VFs for programs need."""
    if has_iommu(root):
        return well("IOMMU", "on")
    if not needed:
        return well("IOMMU", f"off; only VFs that are bound to {VFIO} need it")
    return wrong(
        "IOMMU",
        f"off, but the device spec has VFs bound to {VFIO}",
        f"{_BIOS}, and start Linux with intel_iommu=on (on Intel's processors)",
    )


def vfio(root: Path, *, needed: bool, release: str) -> Verdict:
    """Say whether VFs can be bound to vfio-pci by this release of the kernel, where the device spec asks for that."""
    if not needed:
        return well(VFIO, "not asked for")
    if is_driver_loaded(root, VFIO):
        return well(VFIO, "loaded")
    if has_module(root, VFIO, release):
        return wrong(VFIO, "not loaded", f"modprobe {VFIO}, and echo {VFIO} > /etc/modules-load.d/mooring.conf")
    return wrong(VFIO, f"Linux {release} has no such module", "install the distribution's full kernel")
