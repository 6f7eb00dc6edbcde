"""Monitoring and life support devices against their documented figures: table 4 and others."""
