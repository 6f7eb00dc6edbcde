"""A remote robot (telesurgery, ultrasound …): patient side and doctor side, sans-I/O.

The doctor side sends a haptic command every period; the patient side executes it while it
is ENABLED, answers with force feedback and its other streams, watches its
network, alarms, holds, goes to a safe state, switches links and asks for an explicit re-arm.
"""
