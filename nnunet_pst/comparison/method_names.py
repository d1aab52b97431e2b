"""What a compared method may be called: a word that fits tables, pictures and a folder."""

from __future__ import annotations

from collections.abc import Collection

from nnunet_pst.io.csv_text import guarded

#: Longer names don't fit tables and pictures.
_LONGEST_NAME = 60


def name_problem(name: str, others: Collection[str]) -> str:
    """Say why a name can't be a method's, and what to do; empty if it can.

    Parameters
    ----------
    name
        As typed.
    others
        Names of the methods before it; itself may be among them.
    """
    twin = next((one for one in others if one != name and one.casefold() == name.casefold()), None)
    if not name.strip():
        return "it is blank; write a word before the ="
    if not name.isprintable():
        return "it holds a line end or another character that can't be seen; leave it out"
    if name != name.strip():
        return "it begins or ends with a space; leave it out"
    if len(name) > _LONGEST_NAME:
        return f"it has {len(name)} characters, more than {_LONGEST_NAME}; shorten it"
    if set(name) & {"/", "\\", ":"} or name.startswith("."):
        return "it becomes a folder's; leave out '/', '\\', ':' and a first '.'"
    if guarded(name) != name:
        return f"a spreadsheet takes it for a formula; leave out the first '{name[0]}'"
    if twin is not None:
        return f"{twin!r} differs from it in capitals alone; write both alike, or choose another"
    return ""
