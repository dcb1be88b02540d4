"""What the process of every daemon does: it logs, tells the service manager how it is, and is watched."""
