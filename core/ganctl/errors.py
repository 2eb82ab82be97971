"""Errors written for the person who reads them: what was wrong, where, what to do.

The command line prints them as they are, one line each, and exits with `exit_status`.
"""


class GanctlError(Exception):
    """It failed while running (exit status 1)."""

    exit_status = 1


class UserError(GanctlError):
    """What was asked for is wrong: usage, options, input, terms (exit status 2)."""

    exit_status = 2


class Interrupted(GanctlError):
    """The user stopped it; everything is saved (exit status 3)."""

    exit_status = 3
