"""Which sequence a stack is, by a table of rules that users can check and replace.

A rule is a row: ``rule`` (its name), ``sequence`` (T1, T2, DWI, CET1, ``dynamic`` for a phase whose
enhancement the pixels must show, ``computed`` for diffusion that is taken for want of an acquired
one, ``none``), ``when`` and ``reason``. ``when`` holds conditions that
must all be met, joined by ``&``: ``FIELD ~ PATTERN`` (a regular expression anywhere, in any case),
``FIELD !~ PATTERN``, ``FIELD < NUMBER`` (also ``<=``, ``>``, ``>=``), ``FIELD present`` and
``FIELD absent``. A number that the header lacks meets no comparison. The first rule that is met
decides.
"""

from __future__ import annotations

import csv
import io
import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import takewhile
from pathlib import Path

from nnunet_pst.dicom.reading.acquisition import Acquisition
from nnunet_pst.dicom.reading.headers import Slice
from nnunet_pst.dicom.reading.series import Stack
from nnunet_pst.dicom.scan.contrast import contrast_of
from nnunet_pst.dicom.scan.contrast_words import folded
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.wording import printable

NONE, DYNAMIC, COMPUTED = "none", "dynamic", "computed"
DECISIONS = ("T1", "T2", "DWI", "CET1", DYNAMIC, COMPUTED, NONE)
#: Fields of conditions and the DICOM attributes that they compare.
FIELDS: Mapping[str, str] = {
    "modality": "Modality",
    "vendor": "Manufacturer",
    "storage": "SOPClassUID",
    "description": "SeriesDescription",
    "words": "SeriesDescription or ProtocolName",
    "image_type": "ImageType",
    "component": "ComplexImageComponent",
    "technique": "VolumeBasedCalculationTechnique",
    "derivation": "DerivationDescription",
    "quality": "ContentQualification",
    "sequence_name": "SequenceName",
    "scanning": "ScanningSequence",
    "tr": "RepetitionTime",
    "te": "EchoTime",
    "ti": "InversionTime",
    "flip": "FlipAngle",
    "b": "b-value",
    "echoes": "echo times of the series",
    "fat": "EchoTime, MagneticFieldStrength",
    "direction": "DiffusionDirectionality",
    "volumes": "volumes of this b-value",
    "contrast": "words, times, agent",
    "agent": "ContrastBolusAgent",
    "angio": "AngioFlag",
    "samples": "SamplesPerPixel",
    "slices": "number of slices",
    "pixel_mm": "PixelSpacing",
    "planes": "ImageOrientationPatient",
    "phases": "dynamic phases",
    "parts": "parts by InstanceNumber",
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_CONDITION = re.compile(r"(\w+)\s+(?:(present|absent)|(!?~|<=|>=|<|>)\s*(.+))", re.DOTALL)
#: Fat's frequency is 3.4 ppm below water's, whose protons turn at 42.577 MHz per tesla.
FAT_SHIFT_HZ_PER_TESLA = 3.4 * 42.577
#: Before the table that is printed.
_EXPLANATION = (
    "The first rule whose conditions are all met decides what a stack of images is. Copy the table",
    "and change it and give it back with --rules. Lines that begin with # are comments.",
    "sequence: T1, T2, DWI, CET1; dynamic (pixels show which phases are enhanced); computed (DWI",
    "where nothing was acquired); none.",
    "when: FIELD ~ PATTERN (a regular expression anywhere, in any case), FIELD !~ PATTERN,",
    "FIELD < NUMBER (also <= > >=), FIELD present, FIELD absent; joined by ' & '.",
    "SeriesDescription is read without accents, with blanks for _; ProtocolName of Siemens and",
    "Philips alone, because others write the name of the whole examination there.",
    "contrast: native, enhanced, agent (only an agent's name says so) or contradictory, with",
    "what says so in brackets: words of many languages, the time of the bolus, the agent, in this",
    "order. volumes, phases, parts: how many stacks a series has that lie in one place. fat: in,",
    "opposed or neither, by the echo time.",
    "Fields and what they compare:",
)
_COLUMNS = ("rule", "sequence", "when", "reason")
_MAX_BYTES = 1_000_000
#: Text is cut to this length before patterns are searched in it, so that no pattern takes long.
_MAX_TEXT = 256
Fact = str | float | None


@dataclass(frozen=True)
class Condition:
    """A comparison of a field with a pattern or a number."""

    field: str
    operation: str
    operand: str = ""

    def met(self, facts: Mapping[str, Fact]) -> bool:
        """Whether it holds; a missing number meets no comparison."""
        fact = facts[self.field]
        if self.operation in ("present", "absent"):
            return (fact in (None, "")) == (self.operation == "absent")
        if self.operation in _COMPARISONS:
            return isinstance(fact, float) and _COMPARISONS[self.operation](
                fact, float(self.operand)
            )
        matches = re.search(self.operand, _text(fact), re.IGNORECASE) is not None
        return matches == (self.operation == "~")


@dataclass(frozen=True)
class Rule:
    """A row of the table."""

    name: str
    sequence: str
    conditions: tuple[Condition, ...]
    reason: str


@dataclass(frozen=True)
class Verdict:
    """What a stack is, and the rule that says so.

    Parameters
    ----------
    sequence
        One of `DECISIONS`.
    rule, reason
        Of the rule that decided.
    tag, value
        The attributes that it compared, and their values.
    """

    sequence: str
    rule: str
    reason: str
    tag: str = ""
    value: str = ""


def read_rules(path: Path | None = None) -> tuple[Rule, ...]:
    """Read a table of rules; by default the one that comes with the package.

    Raises
    ------
    InputError
        With a line for every row that can't be understood.
    """
    if path is None:
        return _own_rules()
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        raise InputError(
            f"{path.name}: is not a table of rules; give a CSV file of less than 1 MB",
            Fault.WRONG_TYPE if path.exists() else Fault.MISSING,
        )
    try:
        return parse_rules(path.read_text(encoding="utf-8-sig"), path.name)
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path.name}: is not UTF-8 text; save it as 'CSV UTF-8'", Fault.WRONG_TYPE
        ) from error


@lru_cache(maxsize=1)
def _own_rules() -> tuple[Rule, ...]:
    return parse_rules(own_rules_text(), "sequence_rules.csv")


def own_rules_text() -> str:
    """Return the package's table, for users who want to change a copy of it."""
    source = resources.files("nnunet_pst.dicom.scan").joinpath("sequence_rules.csv")
    return source.read_text(encoding="utf-8")


def parse_rules(text: str, name: str) -> tuple[Rule, ...]:
    """Read rules from the text of a table; raises as `read_rules`."""
    comments = sum(1 for _ in takewhile(_is_comment, text.splitlines()))
    text = "\n".join(text.splitlines()[comments:])
    rows = csv.DictReader(io.StringIO(text, newline=""))
    if tuple(rows.fieldnames or ()) != _COLUMNS:
        raise InputError(f"{name}: expected the columns {', '.join(_COLUMNS)}", Fault.MISSING)
    problems: list[Problem] = []
    numbered = enumerate(rows, 2 + comments)
    rules = [_reported(row, f"{name}, row {n}", problems) for n, row in numbered]
    if not rules:
        problems.append(Problem("holds no rules", Fault.EMPTY).within(name))
    if problems:
        raise InputError(problems)
    return tuple(rule for rule in rules if rule is not None)


def _is_comment(line: str) -> bool:
    return line.lstrip('"').startswith("#")


def explained_rules_text() -> str:
    """Return the package's table with lines before it that explain it; `parse_rules` skips them."""
    lines = [*_EXPLANATION, *(f"  {name}: {tag}" for name, tag in FIELDS.items())]
    return "".join(f"# {line}\n" for line in lines) + own_rules_text()


def _reported(row: Mapping[str, str | None], place: str, problems: list[Problem]) -> Rule | None:
    try:
        return _rule(row)
    except (ValueError, re.error) as error:
        problems.append(Problem(str(error), Fault.MALFORMED).within(place))
        return None


def _rule(row: Mapping[str, str | None]) -> Rule:
    cells = {name: (row.get(name) or "").strip() for name in _COLUMNS}
    if None in row or not cells["rule"] or not cells["reason"]:
        raise ValueError("expected a rule's name, a sequence, conditions and a reason, no more")
    if cells["sequence"] not in DECISIONS:
        expected = ", ".join(DECISIONS)
        raise ValueError(f"'{cells['sequence']}' is not a sequence; write one of {expected}")
    parts = [part for part in cells["when"].split(" & ") if part.strip()]
    return Rule(cells["rule"], cells["sequence"], tuple(map(_condition, parts)), cells["reason"])


def _condition(text: str) -> Condition:
    match = _CONDITION.fullmatch(text.strip())
    if match is None or match[1] not in FIELDS:
        known = ", ".join(FIELDS)
        raise ValueError(f"'{text.strip()}' is not a condition on one of {known}")
    operation, operand = match[2] or match[3], (match[4] or "").strip()
    if operation in _COMPARISONS:
        float(operand)
    elif operand:
        re.compile(operand)
    return Condition(match[1], operation, operand)


def judge(stack: Stack, rules: tuple[Rule, ...]) -> Verdict:
    """Return the verdict of the first rule that a stack meets."""
    facts = facts_of(stack)
    for rule in rules:
        if all(condition.met(facts) for condition in rule.conditions):
            fields = dict.fromkeys(condition.field for condition in rule.conditions)
            return Verdict(
                rule.sequence,
                rule.name,
                rule.reason,
                tag="; ".join(_tag(field, stack) for field in fields),
                value="; ".join(_text(facts[field]) or "absent" for field in fields),
            )
    return Verdict(NONE, "none", "no rule fits")


def _tag(field: str, stack: Stack) -> str:
    """Name the attribute behind a field; for a b-value the tag that its maker uses."""
    b = stack.first.acquisition.b
    return b.source if field == "b" and b is not None else FIELDS[field]


def facts_of(stack: Stack) -> dict[str, Fact]:
    """Return the values that conditions compare."""
    header, acquisition = stack.series.first, stack.first.acquisition
    spacing = stack.first.pixel_spacing_mm
    names = [folded(name) for name in (stack.description, header.protocol) if name]
    return {
        "modality": header.modality,
        "vendor": header.vendor.value,
        "storage": stack.first.sop_class,
        "description": names[0] if names else "",
        "words": " | ".join(names),
        "image_type": "\\".join(acquisition.image_type),
        "component": acquisition.component,
        "technique": acquisition.technique,
        "derivation": acquisition.derivation,
        "quality": acquisition.quality,
        "sequence_name": acquisition.sequence_name,
        "scanning": "\\".join(acquisition.scanning),
        "tr": acquisition.repetition_ms,
        "te": acquisition.echo_ms,
        "ti": acquisition.inversion_ms,
        "flip": acquisition.flip_degrees,
        "b": None if acquisition.b is None else acquisition.b.value,
        "echoes": float(len({one.first.acquisition.echo_ms for one in stack.series.stacks})),
        "fat": _phase_of_fat(acquisition),
        "direction": acquisition.direction,
        "volumes": float(_volumes_of_b(stack)),
        "contrast": _contrast_text(stack),
        "agent": acquisition.agent,
        "angio": acquisition.angio,
        "samples": float(stack.first.samples),
        "slices": float(len(stack.slices)),
        "pixel_mm": None if spacing is None else max(spacing),
        "planes": float(len({one.plane for one in stack.series.stacks})),
        "phases": float(_phases(stack, ("phase", "acquisition", "scan", "part"))),
        "parts": float(_phases(stack, ("part",))),
    }


def _contrast_text(stack: Stack) -> str:
    """Write what a header says about contrast: ``enhanced (called 'post')``; or empty."""
    evidence = contrast_of(stack)
    kind = "agent" if evidence.agent_only else evidence.contrast.value
    return f"{kind} ({evidence.reason})" if kind else ""


def _phase_of_fat(acquisition: Acquisition) -> str:
    """Say whether fat adds to water at the echo time of a gradient echo: ``in``, ``opposed``."""
    if acquisition.echo_ms is None or not acquisition.field_tesla:
        return ""
    cycles = acquisition.echo_ms / 1000 * FAT_SHIFT_HZ_PER_TESLA * acquisition.field_tesla
    cosine = math.cos(2 * math.pi * cycles)
    return "opposed" if cosine < -0.5 else "in" if cosine > 0.5 else ""


def _volumes_of_b(stack: Stack) -> int:
    """Count the stacks of a series with the same b-value, type and size."""
    first = stack.first

    def kind(one: Slice) -> tuple[object, ...]:
        b = one.acquisition.b
        return (b and b.value, one.acquisition.image_type, one.rows, one.columns)

    return sum(kind(one.first) == kind(first) for one in stack.series.stacks)


def _phases(stack: Stack, names: tuple[str, ...]) -> int:
    """Count the stacks that a series has besides parts of a volume, told apart by some keys."""
    count = len(stack.slices)
    phases = [s for s in stack.series.stacks if any(name in dict(s.key) for name in names)]
    return sum(2 * len(one.slices) >= count for one in phases)


def _text(fact: Fact) -> str:
    if fact is None:
        return ""
    return f"{fact:g}" if isinstance(fact, float) else printable(fact)[:_MAX_TEXT]
