"""What a monitor reports as HL7 v2.6, and the frames of MLLP that carry it. No I/O.

Sets of measurements are ``ORU^R01`` after IHE PCD-01, the patient's alarms ``ORU^R40`` after
IHE PCD-04 (IHE Devices, Technical Framework, volume 2).
"""
