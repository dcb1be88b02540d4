"""Run the command line with ``python -m mooring``."""

from mooring.cli.main import main

main()
