"""The documentation site: ``make docs``. Nothing is fetched while it is built."""

from __future__ import annotations

import sys
from pathlib import Path

DOCS = Path(__file__).parent
sys.path[:0] = [str(DOCS / "_extensions"), str(DOCS.parent)]

from nnunet_pst import __version__  # noqa: E402 (the checkout's, also where another is installed)

project = "nnunet_pst"
author = "the nnunet_pst maintainers"
copyright = f"{author}, Apache-2.0"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "command_line",
    "declared_tables",
    "checkout_links",
]
exclude_patterns = ["_build", "_extensions"]

# Anchors of headings, as the pages use them among each other and as GitHub makes them.
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence", "deflist"]

napoleon_google_docstring = False
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True

# Quotes in commands must stay what a shell understands.
smartquotes = False

html_theme = "furo"
html_title = f"nnunet_pst {__version__}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
# Times of the build would make every build another one.
html_last_updated_fmt = None
