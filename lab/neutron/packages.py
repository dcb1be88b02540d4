"""What a cloud needs of Debian on this machine."""

from __future__ import annotations

import sysconfig

from lab.packages import HostPackage

# What Debian enables here would listen on every address of the machine.
PACKAGES = (
    HostPackage(
        name="rabbitmq-server", file="/usr/lib/rabbitmq/bin/rabbitmq-server", units=("rabbitmq-server.service",)
    ),
    HostPackage(name="erlang-base", file="/usr/bin/epmd", units=("epmd.service", "epmd.socket")),
    # Debian's Python cannot make environments until this package is there.
    HostPackage(name="python3-venv", file=f"{sysconfig.get_path('stdlib')}/ensurepip/__init__.py"),
)
