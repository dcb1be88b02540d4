"""What the front door is told by the configuration."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorSettings:
    """The front door's settings, under kuryr-libnetwork's defaults.

    ``host`` is what ports are bound to. ``reservation_ttl`` is how long, in seconds, an address stays reserved that no
    endpoint came to claim: Docker never releases the IPv4 address when asking for the IPv6 address fails.
    """

    host: str
    capability_scope: str = "local"
    local_address_space: str = "no_address_space"
    global_address_space: str = "no_address_space"
    interface_prefix: str = "eth"
    subnetpool_prefix: str = "kuryrPool"
    default_pool_v4: str = "kuryr"
    default_pool_v6: str = "kuryr6"
    enable_dhcp: bool = True
    reservation_ttl: float = 300.0

    def default_pool(self, version: int) -> str:
        """Return the name of the subnet pool that serves networks without a subnet of their own."""
        return self.default_pool_v4 if version == 4 else self.default_pool_v6  # noqa: PLR2004 - IP version
