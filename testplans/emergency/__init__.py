"""Emergency devices against their documented figures: table 3 and others of their class."""
