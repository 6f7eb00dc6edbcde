"""Diagnosis devices against their documented figures: table 1 and others of their class."""
