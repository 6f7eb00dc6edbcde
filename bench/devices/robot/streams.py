"""The name of the stream that every remote robot answers commands with."""

FORCE = "force-feedback"
