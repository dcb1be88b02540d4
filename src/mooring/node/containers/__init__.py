"""Containers of the service on this host: what is wanted of them is pulled, what is seen of them is reported."""
