"""The front door of the service: Zun's REST API, version 1."""
