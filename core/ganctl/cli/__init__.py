"""The command line: a front door and one module per command."""
