"""Therapy devices against their documented figures: table 2 and others of their class."""
