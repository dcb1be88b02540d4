"""The kernel edge: sysfs, netlink and driver binding. Nothing else in mooring touches the kernel."""
