"""Links from a page to a file of the checkout outside ``docs/``: the site gets a copy of the file.

The pages are read in the checkout as well, where such a link leads to the file itself.
"""

from __future__ import annotations

import os
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

#: Files of the checkout that a page includes whole.
PAGES = {
    "CHANGELOG.md": "project/changelog",
    "CONTRIBUTING.md": "project/contributing",
    "SECURITY.md": "project/security",
}


def lead_out(app: Sphinx, doctree: nodes.document) -> None:
    """Turn references to files outside the pages into downloads, before Sphinx gathers these."""
    document = app.env.docname
    folder = Path(app.srcdir, document).parent
    checkout = Path(app.srcdir).parent
    for node in list(doctree.findall(addnodes.pending_xref)):
        target = str(node.get("reftarget", ""))
        if node.get("reftype") != "myst" or target in app.env.found_docs:
            continue
        if target in PAGES:
            node.attributes.update(refdomain="doc", reftarget=PAGES[target], reftargetid=None)
            continue
        for place in (Path(app.srcdir, target), Path(app.srcdir, f"{target}.md")):
            file = place.resolve()
            if file.is_file() and checkout in file.parents:
                there = os.path.relpath(file, folder).replace(os.sep, "/")
                link = addnodes.download_reference("", "", refdoc=document, reftarget=there)
                link += [child.deepcopy() for child in node.children]
                node.replace_self(link)
                break


def setup(app: Sphinx) -> dict[str, bool]:
    """Listen, before the collector of downloads does."""
    app.connect("doctree-read", lead_out, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
