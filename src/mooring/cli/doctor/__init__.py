"""``mooring doctor``: small checks, each of which says that something is well, or what is wrong and what to do."""
