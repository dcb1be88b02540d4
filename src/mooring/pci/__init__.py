"""Pure rules about PCI devices: no I/O, nothing of ours imported but the errors."""
