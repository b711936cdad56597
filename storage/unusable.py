"""What stands between us and a database."""


class Unusable(Exception):
    """The database cannot be used; the text is for the operator and says why and what to do."""
