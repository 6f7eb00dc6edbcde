"""The names of the streams that every remote robot has beside its heartbeats."""

COMMAND = "haptic-command"
FORCE = "force-feedback"
