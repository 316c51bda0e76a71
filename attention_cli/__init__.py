"""The front door: the `attention` command."""
