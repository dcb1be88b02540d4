"""The command ``mooring``: parse, call one function, print what it returned."""
