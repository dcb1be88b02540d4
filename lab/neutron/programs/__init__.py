"""Programs that run in the servers' own environment, by path; nothing here is imported by the lab."""
