"""The part of the benchmarks that runs inside a lab guest, where its clock is."""
