"""The tables of the front door's memory on disk, which Records, Reservations, Intents and BoundPorts share."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS network (
    docker_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    vnic_type TEXT,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS subnet_use (
    docker_id TEXT NOT NULL REFERENCES network ON DELETE CASCADE,
    subnet_id TEXT NOT NULL,
    pool_id TEXT,
    created INTEGER NOT NULL,
    PRIMARY KEY (docker_id, subnet_id)
);
CREATE TABLE IF NOT EXISTS pool (
    pool_id TEXT PRIMARY KEY,
    cidr TEXT NOT NULL,
    created INTEGER NOT NULL,
    pending INTEGER NOT NULL,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS reservation (
    port_id TEXT PRIMARY KEY,
    network_id TEXT NOT NULL,
    created INTEGER NOT NULL,
    container TEXT NOT NULL,
    reserved_at REAL NOT NULL,
    endpoint TEXT,
    doomed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS address (
    pool_id TEXT NOT NULL,
    address TEXT NOT NULL,
    version INTEGER NOT NULL,
    port_id TEXT NOT NULL REFERENCES reservation ON DELETE CASCADE,
    PRIMARY KEY (pool_id, address)
);
CREATE TABLE IF NOT EXISTS intent (
    token TEXT PRIMARY KEY,
    resource TEXT NOT NULL,
    written_at REAL NOT NULL
);
"""

# A Docker network may take ports that a controller has bound, and has no trace in Neutron then.
SCHEMA_2: Final = """
ALTER TABLE network ADD COLUMN bound INTEGER NOT NULL DEFAULT 0;
CREATE TABLE bound_port (
    port_id TEXT PRIMARY KEY,
    body TEXT NOT NULL
);
"""
