"""A trial: a verb in a process of its own, with a fault; then the same again; then a comparison."""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import scenarios
from injection import ERRORS, Fault
from mutations import Target, mutate
from scenarios import MODEL, SCENARIOS, Scenario

#: Begins hidden names of what is being written.
HIDDEN = ".partial-"
#: After these it hangs. On a crowded machine a trial of four seconds was seen to need two minutes.
MOST_SECONDS = 900
NO_FAULT = Fault()


#: What libraries in C and C++ write to standard error on their own.
_CHATTER = re.compile(r"(\*\*|WARNING: In|ERROR: In|itk::|nifti|libpng|HDF5|Warning:)")
#: Inputs that are outputs of verbs, with the scenario that makes them.
MADE_BY = {
    "raw": "convert",
    "preprocessed": "plan",
    "scores": "evaluate",
    "comparison": "compare",
}
#: What inputs are made of.
NEEDS = {
    "raw": ("cohort",),
    "preprocessed": ("raw",),
    "predictions": ("raw",),
    "predictions_other": ("raw",),
    "scores": ("predictions",),
    "comparison": ("predictions", "predictions_other"),
    MODEL: ("preprocessed",),
}


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario does when nothing goes wrong."""

    code: int
    operations: int
    writes: int
    files: dict[str, bytes | None]


class Bench:
    """A folder of inputs, a folder of work, and a zygote that forks for each trial."""

    def __init__(self, folder: Path) -> None:
        self.inputs, self.work, self.logs = (folder / n for n in ("inputs", "work", "logs"))
        self.logs.mkdir(parents=True)
        self.work.mkdir()
        own = {name: value for name, value in os.environ.items() if not name.startswith("nnUNet")}
        fixed = {
            **own,
            "nnUNet_raw": str(self.work / "raw"),
            "nnUNet_preprocessed": str(self.work / "preprocessed"),
            "nnUNet_results": str(self.work / "results"),
            "nnUNet_def_n_proc": "1",
            "nnUNet_n_proc_DA": "1",
            "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "MPLCONFIGDIR": str(folder / "matplotlib"),
            "NNUNET_PST_ENCODER_WEIGHTS": "none",
        }
        self._errors = (self.logs / "zygote.txt").open("w")
        self._zygote = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("zygote.py"))],
            env=fixed,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._expected: dict[str, Undisturbed] = {}
        assert self._answer() == "ready"

    def close(self) -> None:
        """End the zygote."""
        self._zygote.communicate(timeout=60)
        self._errors.close()

    def _answer(self) -> Any:
        assert self._zygote.stdout is not None
        line = self._zygote.stdout.readline()
        assert line, (self.logs / "zygote.txt").read_text()[-3000:]
        return json.loads(line)

    def _need(self, name: str) -> None:
        """Make an input that a scenario names, and what that is made of."""
        if (self.inputs / name).exists():
            return
        for other in NEEDS.get(name, ()):
            self._need(other)
        raw = self.inputs / "raw"
        if name in MADE_BY:
            self._make(MADE_BY[name], name)
        elif name == "cohort":
            scenarios.write_cohort(self.inputs / name)
        elif name == "dicom":
            scenarios.write_dicom(self.inputs / name)
        elif name == "new":
            scenarios.write_image(self.inputs / name / "t2.nii.gz", scenarios.make_patient(77)[0])
        elif name == MODEL:
            scenarios.write_model(self.inputs / "preprocessed", raw, self.inputs / name)
        else:
            shift = 1 if name == "predictions" else 3
            scenarios.write_predictions(raw, self.inputs / name, shift)

    def _make(self, scenario_name: str, output: str) -> None:
        """Make an input with a verb."""
        scenario = scenario_named(scenario_name)
        self.reset(scenario)
        done = self.run(scenario)
        assert done["code"] == 0, done
        shutil.move(self.work / output, self.inputs / output)

    def reset(self, scenario: Scenario) -> None:
        """Empty the work folder and put there what the scenario finds."""
        for name in sorted({*NEEDS, *MADE_BY, "cohort", "dicom", "new"}):
            words = [*scenario.words, *scenario.environ.values()]
            given = [source.partition("/")[0] for source in scenario.given]
            if name in given or any(f"{{in}}/{name}/" in f"{word}/" for word in words):
                self._need(name)
        shutil.rmtree(self.work)
        self.work.mkdir()
        for source, target in scenario.given.items():
            copy = shutil.copytree if (self.inputs / source).is_dir() else shutil.copy2
            (self.work / target).parent.mkdir(parents=True, exist_ok=True)
            copy(self.inputs / source, self.work / target)

    def trial(self, scenario: Scenario, fault: Fault, number: int = 0) -> dict[str, Any]:
        """Describe a trial for the zygote."""
        places = {"in": str(self.inputs), "work": str(self.work)}

        def filled(text: str) -> str:
            for name, place in places.items():
                text = text.replace("{" + name + "}", place)
            return text

        return {
            "program": scenario.program,
            "words": [filled(word) for word in scenario.words],
            "environ": {name: filled(value) for name, value in scenario.environ.items()},
            "cwd": str(self.work),
            "root": str(self.work),
            "patches": list(scenario.patches),
            "fault": asdict(fault),
            "seconds": MOST_SECONDS,
            "stdout": str(self.logs / f"stdout{number}.txt"),
            "stderr": str(self.logs / f"stderr{number}.txt"),
        }

    def run(
        self, scenario: Scenario, fault: Fault = NO_FAULT, meanwhile: Scenario | None = None
    ) -> dict[str, Any]:
        """Run a scenario once, in the work folder as it is."""
        trial = self.trial(scenario, fault)
        trial["meanwhile"] = [self.trial(meanwhile, NO_FAULT, 1)] if meanwhile else []
        assert self._zygote.stdin is not None
        self._zygote.stdin.write(json.dumps(trial) + "\n")
        self._zygote.stdin.flush()
        return dict(self._answer())

    def expected(self, scenario: Scenario) -> Undisturbed:
        """Run a scenario without a fault, once."""
        if scenario.name not in self._expected:
            self.reset(scenario)
            done = self.run(scenario)
            assert done["code"] in (0, 3), done
            self._expected[scenario.name] = Undisturbed(
                done["code"], done["operations"], done["writes"], self.files(scenario)
            )
        return self._expected[scenario.name]

    def files(self, scenario: Scenario) -> dict[str, bytes | None]:
        """Return the content of every file in the work folder; None for folders."""
        found: dict[str, bytes | None] = {}
        for path in sorted(self.work.rglob("*")):
            name = path.relative_to(self.work).as_posix()
            if path.is_dir():
                found[name] = None
            elif any(fnmatch.fnmatch(name, f"*{pattern}") for pattern in scenario.changing):
                found[name] = b""
            else:
                found[name] = path.read_bytes()
        return found

    def goes_on(self, scenario: Scenario, what: str) -> list[str]:
        """Run a scenario again after a fault, and say what is not as if nothing had happened."""
        done = self.run(scenario)
        if done["code"] != self.expected(scenario).code:
            return [f"{what}: refused to go on ({done['code']}): {last_line(done)}"]
        return self.differences(scenario, what)

    def differences(self, scenario: Scenario, what: str) -> list[str]:
        """Say which files are not as if nothing had happened."""
        expected, found = self._expected[scenario.name], self.files(scenario)
        wrong = [
            f"{what}: {'leftover' if name not in expected.files else 'lost or different'}: {name}"
            for name in sorted(expected.files.keys() | found.keys())
            if expected.files.get(name, b"?") != found.get(name, b"?")
        ]
        return wrong[:3]

    def kill(self, scenario: Scenario, at: int) -> list[str]:
        """Kill a scenario before its n-th operation, and go on."""
        self.expected(scenario)
        self.reset(scenario)
        what = f"{scenario.name} killed at {at}"
        done = self.run(scenario, Fault("kill", at))
        if done["code"] == "hang":
            return [f"{what}: hangs"]
        return self.goes_on(scenario, what)

    def fail(self, scenario: Scenario, kind: str, at: int) -> list[str]:
        """Let the n-th write of a scenario fail, and go on."""
        assert kind in ERRORS
        expected = self.expected(scenario)
        self.reset(scenario)
        before = self.empty_folders(scenario)
        what = f"{scenario.name} {kind} at write {at}"
        done = self.run(scenario, Fault(kind, at))
        wrong = complaints(what, done)
        if done["code"] == expected.code:
            return wrong + self.differences(scenario, f"{what}, which nobody was told")
        left = [*self.leftovers(), *sorted(self.empty_folders(scenario) - before)]
        wrong += [f"{what}: leaves {name} when it has failed" for name in left]
        return wrong + self.goes_on(scenario, what)

    def damage(self, target: Target, seed: int) -> list[str]:
        """Damage an input, run the scenario that reads it, and say what is wrong with its end."""
        scenario, name = target.scenario, target.files[seed % len(target.files)]
        self.reset(scenario)
        mutate(self.work / name, seed)
        before = self.files(scenario)
        done = self.run(scenario)
        what = f"{scenario.name}, {name} damaged by {seed}"
        wrong = complaints(what, done)
        if done["code"] not in (0, 1, 3, "hang"):
            wrong.append(f"{what}: ends with {done['code']}: {last_line(done)}")
        if done["code"] == 0 and "error: " in done["stderr"]:
            wrong.append(f"{what}: ends with 0 after: {last_line(done)}")
        if done["code"] == 1 and "error: " not in done["stderr"]:
            wrong.append(f"{what}: ends with 1 without an error: {last_line(done)}")
        strange = [line for line in done["stderr"].splitlines() if _CHATTER.match(line)]
        wrong += [f"{what}: a library's chatter: {line}" for line in strange[:1]]
        if done["code"] == 1 and self.files(scenario) != before:
            wrong.append(f"{what}: is refused, and has changed files")
        return wrong + [f"{what}: leaves {left}" for left in self.leftovers()]

    def leftovers(self) -> list[str]:
        """Name hidden files that belong to no draft from which the same command goes on."""
        return [
            path.relative_to(self.work).as_posix()
            for path in sorted(self.work.rglob(f"{HIDDEN}*"))
            if not path.is_dir() and not path.parent.name.startswith(HIDDEN)
        ]

    def empty_folders(self, scenario: Scenario) -> set[str]:
        """Name folders that hold nothing, but for those of a draft that is gone on with."""
        found = (path for path in self.work.rglob("*") if path.is_dir() and not any(path.iterdir()))
        names = {path.relative_to(self.work).as_posix() for path in found}
        fine = [f"*/{pattern}" for pattern in (f"{HIDDEN}*", f"{HIDDEN}*/*", *scenario.rooms)]
        return {n for n in names if not any(fnmatch.fnmatch(f"/{n}", one) for one in fine)}

    def two(self, scenario: Scenario, at: int) -> list[str]:
        """Stop a scenario before its n-th operation, run another one there, and continue."""
        expected = self.expected(scenario)
        self.reset(scenario)
        what = f"{scenario.name} stopped at {at} beside another"
        first = self.run(scenario, Fault("stop", at), scenario)
        ends = [first, *first["meanwhile"]]
        wrong = [line for one in ends for line in complaints(what, one)]
        if expected.code not in [one["code"] for one in ends]:
            wrong.append(f"{what}: both failed: {[last_line(one) for one in ends]}")
        return wrong + self.differences(scenario, what)


def scenario_named(name: str) -> Scenario:
    """Find a scenario."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def last_line(done: dict[str, Any]) -> str:
    """Return the last line of what a command has said."""
    lines = (done["stderr"] or done["stdout"]).strip().splitlines()
    return lines[-1][:300] if lines else "(silent)"


def complaints(what: str, done: dict[str, Any]) -> list[str]:
    """Say what is wrong with the end of a command, whatever it was given."""
    if done["code"] == "hang":
        return [f"{what}: hangs"]
    wrong = []
    if "Traceback" in done["stderr"] + done["stdout"]:
        wrong.append(f"{what}: a traceback: {last_line(done)}")
    if isinstance(done["code"], int) and done["code"] < 0:
        wrong.append(f"{what}: died of signal {-done['code']}")
    return wrong
