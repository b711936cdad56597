"""Pages and mails from the templates beside this file.

Jinja2 is imported with the first of them: a server that shows none keeps 2 MB.
"""

from collections.abc import Callable
from functools import cache

__all__ = ["rendered"]


def rendered(template: str, **values: object) -> str:
    """Return the text of a template, given by its file's name; where it is HTML the values are escaped."""
    return _templates()(template, values)


@cache
def _templates() -> Callable[[str, dict[str, object]], str]:
    from jinja2 import Environment, PackageLoader, select_autoescape

    escaped = select_autoescape(enabled_extensions=("html", "html.j2"))
    environment = Environment(loader=PackageLoader("homeserver"), autoescape=escaped, auto_reload=False)
    return lambda name, values: environment.get_template(name).render(values)
