"""SR-IOV hardware for everyone: two QEMU guests with emulated Intel 82576 cards, and Neutron beside them."""
