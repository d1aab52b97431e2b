"""Directive ``{verb} NAME``: a verb's reference, from the parser that the command line uses."""

from __future__ import annotations

import argparse
import re
from functools import partial

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from nnunet_pst.cli.main import build_parser


def parser_of(verb: str) -> argparse.ArgumentParser:
    """Return the parser of one verb, with its arguments."""
    parser = build_parser(verb)
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    chosen: argparse.ArgumentParser = action.choices[verb]
    return chosen


def heads(action: argparse.Action) -> list[str]:
    """Return the spellings of an argument, each with what follows it."""
    formatter = argparse.HelpFormatter(prog="")
    value = formatter._format_args(action, formatter._get_default_metavar_for_optional(action))
    if not action.option_strings:
        default = formatter._get_default_metavar_for_positional(action)
        return [formatter._metavar_formatter(action, default)(1)[0]]
    return [f"{name} {value}".strip() for name in action.option_strings]


class Verb(SphinxDirective):
    """The usage of a verb, and a definition list of its arguments, group by group."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Make the nodes."""
        verb = self.arguments[0]
        parser = parser_of(verb)
        self.env.note_dependency(f"../nnunet_pst/cli/{verb}.py")
        # As a terminal of 80 letters shows it, whatever terminal builds the page.
        parser.formatter_class = partial(argparse.HelpFormatter, width=80)
        usage = re.sub(r"^usage: ", "", parser.format_usage().strip())
        made: list[nodes.Node] = [nodes.literal_block(usage, usage, language="text")]
        if parser.epilog:
            made.append(nodes.paragraph("", parser.epilog))
        for group in parser._action_groups:
            shown = [a for a in group._group_actions if a.help != argparse.SUPPRESS]
            shown = [a for a in shown if not isinstance(a, argparse._HelpAction)]
            if not shown:
                continue
            title = {"positional arguments": "Arguments", "options": "Options"}.get(
                str(group.title), str(group.title).capitalize()
            )
            made += [nodes.rubric(title, title), self._list(verb, shown)]
        return made

    def _list(self, verb: str, actions: list[argparse.Action]) -> nodes.definition_list:
        items = []
        for action in actions:
            name = action.option_strings[-1].lstrip("-") if action.option_strings else action.dest
            term = nodes.term("", ids=[f"{verb}-{name}".replace("_", "-").lower()])
            for number, head in enumerate(heads(action)):
                term += [nodes.Text(", ")] if number else []
                term += nodes.literal(head, head)
            text = self._described(action)
            body = nodes.definition("", nodes.paragraph("", text))
            items.append(nodes.definition_list_item("", term, body))
        return nodes.definition_list("", *items)

    def _described(self, action: argparse.Action) -> str:
        text = argparse.HelpFormatter("nnunet_pst")._expand_help(action) if action.help else ""
        text = text[:1].upper() + text[1:]
        parts = [text.rstrip(".") + "." if text else ""]
        if action.choices is not None and action.metavar is not None:
            parts.append(f"One of {', '.join(map(str, action.choices))}.")
        default = action.default
        plain = not isinstance(action, argparse._StoreTrueAction) and default not in (None, [])
        if plain and default != argparse.SUPPRESS and "efault" not in text:
            words = default if isinstance(default, list) else [default]
            parts.append(f"Default: {' '.join(map(str, words))}.")
        if action.required and action.option_strings:
            parts.append("Required.")
        return " ".join(part for part in parts if part) or "—"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("verb", Verb)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
