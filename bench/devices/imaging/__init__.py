"""An imaging device (mobile DR/CT unit, MRI scanner with a remote console), sans-I/O.

The patient side is the modality: it sends its console's picture and image sets, watches the
operator's input, keeps its records and their backup. The doctor side is the reading room or the
remote console: it sends input and voice, and shows the image sets that arrive whole.
"""
