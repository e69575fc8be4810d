"""Errors that a user can mend."""


class GossetError(ValueError):
    """Bad input, told in one sentence that names the wrong thing and the way out."""


class ToolError(GossetError):
    """An external tool is missing, or failed at its work."""
