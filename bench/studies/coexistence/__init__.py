"""Coexistence by the flow of ANSI C63.27: the plan as data, and carrying its exploration out."""
