"""Finding a host for a container, and the devices of it."""
