"""How a command ends that could not do its work."""


class CommandFailed(Exception):
    """Says in one line, for the operator, what went wrong; the exit status is 1."""
