"""The places where the device is used: laboratory, first deployment, maintenance, years later."""
