"""What mooring costs, measured against what the kernel and Docker cost on the same machine in the same run."""
