"""A report asks for nothing, runs nothing, names nobody, and has the same bytes every time."""

from __future__ import annotations

import json
import re

import matplotlib

from report_example import Example, Seen, drawings


def test_a_report_asks_no_network_for_anything(whole: Example):
    html = whole.page.read_text()
    page = Seen(html)
    for address in page.addresses:
        assert address.startswith(("data:image/", "#", "https://doi.org/")), address
    assert page.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form"})
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    for drawing in drawings(html):
        for address in re.findall(r"href=\"([^\"]*)\"", drawing):
            assert address.startswith("#"), address
        assert "<image" not in drawing


PLANTED = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def test_strange_names_are_escaped(example: Example):
    strange = "<b onclick=a()>$frac{ \N{CJK UNIFIED IDEOGRAPH-65B9}"
    for name in ("cases.csv", "intervals.csv", "differences.csv"):
        path = example.comparison / name
        path.write_text(path.read_text().replace("3d_fullres", strange))
    facts = json.loads((example.comparison / "comparison.json").read_text())
    facts["methods"] = ["2d_5", "2d", strange]
    facts["warnings"] = [PLANTED]
    facts["versions"] = {PLANTED: PLANTED}
    (example.comparison / "comparison.json").write_text(json.dumps(facts))
    description = json.loads((example.dataset / "dataset.json").read_text())
    description["description"] = PLANTED
    description["nnunet_pst"]["registration"] = {PLANTED: [PLANTED]}
    (example.dataset / "dataset.json").write_text(json.dumps(description))
    page = Seen(example.full())
    assert page.tags.isdisjoint({"script"})
    assert page.attributes.isdisjoint({"onclick", "onerror"})
    assert PLANTED in page.text
    assert "no overlays in the comparison folder" in page.text.casefold()


def test_the_same_input_gives_the_same_bytes(whole: Example, example: Example):
    def everything(one: Example) -> dict[str, bytes]:
        figures = (one.comparison / "report_figures").iterdir()
        return {path.name: path.read_bytes() for path in (one.page, *figures)}

    with matplotlib.rc_context({"font.size": 20}):  # a user's own settings change nothing
        example.full()
    assert everything(example) == everything(whole)
    assert not any(b"<dc:date>" in content for content in everything(whole).values())


def test_a_report_names_no_folder_and_no_date(whole: Example):
    html = whole.page.read_text()
    shown = "\n".join([html, *drawings(html)]).casefold()
    for word in ("mustermann", "/data", "2026-", "2026_", "07:25", "/tmp"):
        assert word not in re.sub(r"base64,[^\"]+", "", shown), word
