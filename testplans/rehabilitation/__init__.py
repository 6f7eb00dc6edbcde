"""Rehabilitation devices against their documented figures: table 5 and others of their class."""
