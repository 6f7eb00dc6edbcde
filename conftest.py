"""Registers the bench's pytest plugin, also where the project is not installed."""

pytest_plugins = ["fixtures.plugin"]
