"""A laparoscopic telesurgery robot: patient side and doctor side, sans-I/O.

The doctor side sends a haptic command every millisecond; the patient side executes it while it
is ENABLED, answers with force feedback, endoscope video, audio and vital signs, watches its
network, alarms, holds, goes to a safe state, switches links and asks for an explicit re-arm.
"""
