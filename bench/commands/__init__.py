"""The subcommands of ``bench``, by what they are about."""
