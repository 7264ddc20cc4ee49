"""Sphinx's configuration: MyST and furo; every warning is an error.

Nothing is downloaded during the build: references to Python, Django and cryptography
are plain text, so the result is the same with and without a network.
"""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
from django.conf import settings

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

# autodoc imports the models.
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.auth",
        "django.contrib.contenttypes",
        "django_clientcert",
    ],
    DATABASES={},
    USE_TZ=True,
)
django.setup()

project = "django-clientcert"
author = "django-clientcert contributors"
project_copyright = "2026, django-clientcert contributors"
release = importlib.import_module("django_clientcert").__version__
version = release

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
root_doc = "index"
language = "en"

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist", "attrs_inline"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = "django-clientcert"
html_static_path = ["_static"]
html_css_files = ["wrap.css"]
html_show_sphinx = False
# "$ " is the prompt; only the text after it is copied.
copybutton_prompt_text = "$ "

autodoc_member_order = "bysource"
autodoc_typehints = "none"

nitpicky = True
# The standard library, Django and cryptography are not part of this documentation.
nitpick_ignore_regex = [
    (r"py:.*", r"(django|cryptography|enum|datetime)\..*"),
    (r"py:(exc|class)", r"(Exception|ValueError|AttributeError)"),
    (r"py:exc", r"(PermissionDenied|ImproperlyConfigured|ValidationError)"),
]


_SECTION = re.compile(r"(Raises|Returns)(?: \(.*\))?:$")
_RAISED = re.compile(r"    (\w+(?:, \w+)*): (.*)$")


def convert_sections(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Turn ``Raises:`` and ``Returns:`` into the fields that Sphinx knows.

    The extension napoleon would do that too, but reads the first line of a property,
    "SHA-256 of the DER: 64 digits", as a type with a description.
    """
    converted: list[str] = []
    section = ""
    for line in lines:
        heading = _SECTION.match(line)
        if heading:
            section = heading[1]
            converted.append("")
        elif section and line and not line.startswith(" "):
            section = ""
            converted += ["", line]
        elif section == "Returns" and line:
            converted.append(f":returns: {line.strip()}")
            section = "rest"
        elif section == "Raises" and (raised := _RAISED.match(line)):
            converted += [
                f":raises {name}: {raised[2]}" for name in raised[1].split(", ")
            ]
        else:
            converted.append(line)
    lines[:] = converted


def resolve_short_name(
    app: Sphinx, env: Any, node: Any, contnode: nodes.Node
) -> nodes.Node | None:
    """Return the link for a ``Raises:`` entry, whose class has no module name."""
    if node.get("refdomain") != "py" or "." in node.get("reftarget", "."):
        return None
    domain = env.get_domain("py")
    matches = [
        name for name in domain.objects if name.endswith(f".{node['reftarget']}")
    ]
    if len(matches) != 1:
        return None
    reference: nodes.Node | None = domain.resolve_xref(
        env, node["refdoc"], app.builder, node["reftype"], matches[0], node, contnode
    )
    return reference


def setup(app: Sphinx) -> None:
    """Connect the functions above."""
    app.connect("autodoc-process-docstring", convert_sections)
    app.connect("missing-reference", resolve_short_name)
