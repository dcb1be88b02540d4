"""The daemon of a container host: everything wired together, and kept in order while it runs."""
