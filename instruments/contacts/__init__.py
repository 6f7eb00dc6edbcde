"""Contact outputs and inputs: the hand on the stop button, the witness of motion, light, sound."""
