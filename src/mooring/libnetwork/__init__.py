"""The libnetwork front door: Docker's remote network driver and remote IPAM driver on a unix socket."""
