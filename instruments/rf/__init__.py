"""Instruments of the radio side: generators, analysers, attenuators, switches, testers."""
