"""The core: one transaction that makes a port present in a container, and takes it away again without loss."""
