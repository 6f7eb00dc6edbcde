"""A device that moves nothing by remote command: a station beside the patient, and a console.

The station sends its streams, watches the stream that the console sends, and alarms; the console
shows pictures, plays sound and displays the state of the network.
"""
