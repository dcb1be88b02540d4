"""Mooring: SR-IOV virtual functions of Neutron ports, made present in containers."""

__version__ = "0.1.0"
