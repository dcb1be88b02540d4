"""The container service from a person's shell: how it is reached, what is asked of it, what is shown."""
