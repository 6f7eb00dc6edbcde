"""The catalogue: every documented threshold and behaviour, as data with its source."""
