"""The cohort table: what can be read, and every refusal."""

from __future__ import annotations

from pathlib import Path

import pytest

from nnunet_pst.dataset.cohort_table import parse_cohort, read_cohort
from nnunet_pst.dataset.slice_ranges import format_slices, parse_slices
from nnunet_pst.errors import Fault, InputError, Problem
from nnunet_pst.io.sequence_columns import classify_columns, edit_distance, near_miss


def write(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    for name in ("a.nii.gz", "b.nii.gz", "al.nii.gz", "bl.nii.gz"):
        (folder / name).touch()
    table = folder / "c.csv"
    table.write_bytes(text.encode(encoding))
    return table


def problems(folder: Path, text: str) -> list[Problem]:
    with pytest.raises(InputError) as caught:
        read_cohort(write(folder, text))
    return caught.value.problems


GOOD = (
    "patient,T2,T2_label,split,age\np1,a.nii.gz,al.nii.gz,train,40\np2,b.nii.gz,bl.nii.gz,test,5\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_usual_spellings_of_csv(tmp_path: Path, encoding: str, separator: str, newline: str):
    text = GOOD.replace(",", separator).replace("\n", newline)
    cohort = read_cohort(write(tmp_path, text, encoding))
    assert cohort.sequences == ("T2",)
    assert cohort.covariates == ("age",)
    first, second = cohort.patients
    assert (first.identifier, first.row, first.split) == ("p1", 2, "train")
    assert second.sequences["T2"].label == tmp_path / "bl.nii.gz"
    assert second.covariates == {"age": "5"}


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", ",,,\n"),  # empty columns to the right
        lambda text: "sep=;\n" + text.replace(",", ";"),
        lambda text: '"sep=,"\n' + text,
        lambda text: text.replace("age\n", "age,center,sex\n").replace("5\n", "5,,\n"),
    ],
)
def test_tables_as_excel_saves_them(tmp_path: Path, change):
    cohort = read_cohort(write(tmp_path, change(GOOD)))
    assert [patient.row for patient in cohort.patients] == [2, 3]
    assert [patient.covariates["age"] for patient in cohort.patients] == ["40", "5"]


def test_a_last_row_that_is_cut_off(tmp_path: Path):
    (problem,) = problems(tmp_path, GOOD.replace(",test,5\n", ""))
    assert problem.fault is Fault.MALFORMED
    assert "row 3" in problem


def test_cells_in_a_column_without_a_name(tmp_path: Path):
    text = GOOD.replace("split,age", "split,,age").replace("train,", "train,f,")
    (problem,) = problems(tmp_path, text.replace("test,", "test,,"))
    assert problem.fault is Fault.MALFORMED
    assert "row 2" in problem


@pytest.mark.parametrize("cell", ['"tr\nain"', '"tr\x1b[31main"', '"tr\u2028ain"', "x" * 40_000])
def test_a_cell_with_control_characters_stays_a_short_line(tmp_path: Path, cell: str):
    (problem,) = problems(tmp_path, GOOD.replace("train", cell))
    assert problem.isprintable()
    assert len(problem) < 1100
    assert problem.endswith("write 'train' or 'val' or 'test'")


def test_a_decimal_comma_is_named_with_the_remedy(tmp_path: Path):
    text = "patient;T2;T2_label;T2_first;T2_last\np1;a.nii.gz;al.nii.gz;3,0;7\n"
    found = problems(tmp_path, text)
    assert "write 3" in found[0]
    assert found[0].fault is Fault.MALFORMED


def test_clicks_and_annotated_slices(tmp_path: Path):
    cohort = read_cohort(
        write(
            tmp_path,
            "patient,T2,T2_label,T2_first,T2_last,T2_annotated,label_kind\n"
            'p1,a.nii.gz,al.nii.gz,3,12.0,"5,7-9",coarse\n'
            "p2,b.nii.gz,bl.nii.gz,,,,Fine\n",
        )
    )
    sequence = cohort.patients[0].sequences["T2"]
    assert (sequence.first, sequence.last, sequence.annotated) == (3, 12, (5, 7, 8, 9))
    assert sequence.label_kind == "coarse"
    assert cohort.patients[1].sequences["T2"].label_kind == "fine"


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        ("train,,,", "fine"),
        ("train,1,2,", "coarse"),
        ("train,,,4", "coarse"),
        ("test,1,2,", "fine"),
    ],
)
def test_the_default_label_kind(tmp_path: Path, cells: str, kind: str):
    table = write(
        tmp_path,
        "patient,T2,T2_label,split,T2_first,T2_last,T2_annotated\n"
        f"p1,a.nii.gz,al.nii.gz,{cells}\np2,b.nii.gz,bl.nii.gz,train,,,\n",
    )
    assert read_cohort(table).patients[0].sequences["T2"].label_kind == kind


def test_empty_cells_are_missing_sequences(tmp_path: Path):
    cohort = read_cohort(
        write(tmp_path, "patient,T1,T1_label,T2,T2_label\np1,,,a.nii.gz,al.nii.gz\n")
    )
    assert list(cohort.patients[0].sequences) == ["T2"]


def test_a_test_patient_needs_no_label(tmp_path: Path):
    cohort = read_cohort(write(tmp_path, GOOD.replace("bl.nii.gz", "")))
    assert cohort.patients[1].sequences["T2"].label is None


def test_a_sequence_of_any_name(tmp_path: Path):
    cohort = read_cohort(write(tmp_path, "patient,FLAIR,FLAIR_label\np1,a.nii.gz,al.nii.gz\n"))
    assert cohort.sequences == ("FLAIR",)


def test_all_problems_come_together(tmp_path: Path):
    lines = problems(
        tmp_path,
        "patient,T2,T2_label,split\n"
        "p1,missing.nii.gz,al.nii.gz,train\n"
        "p1,a.nii.gz,al.nii.gz,test\n"
        ",b.nii.gz,,train\n"
        "p3,b.nii.gz,bl.nii.gz,trian\n"
        "p4,,,train\n",
    )
    assert [(line.partition(":")[0], line.fault) for line in lines] == [
        ("c.csv, row 2, column T2", Fault.MISSING),
        ("c.csv, row 4, column patient", Fault.MISSING),
        ("c.csv, row 4, column T2_label", Fault.MISSING),
        ("c.csv, row 5, column split", Fault.UNKNOWN_NAME),
        ("c.csv, row 6", Fault.MISSING),
        ("c.csv, row 3, column patient", Fault.LEAK),
    ]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("patient,T2,T2_lable\np1,a.nii.gz,al.nii.gz\n", Fault.UNKNOWN_NAME),
        ("patient,T2,T2_label,T2_frist\np1,a.nii.gz,al.nii.gz,1\n", Fault.UNKNOWN_NAME),
        ("patient,T2,T2_label,Split\np1,a.nii.gz,al.nii.gz,train\n", Fault.UNKNOWN_NAME),
        ("patient,t2,T2_label\np1,a.nii.gz,al.nii.gz\n", Fault.UNKNOWN_NAME),
        ("patient,age,T2_label\np1,4,al.nii.gz\n", Fault.MISSING),
        ("patient,FLAIR,FLAIR_lable\np1,a.nii.gz,al.nii.gz\n", Fault.UNKNOWN_NAME),
        ("patient,T2,T2_label,T2\np1,a.nii.gz,al.nii.gz,\n", Fault.REPEATED),
        ("patient,age\np1,4\n", Fault.MISSING),
        ("patient,T_2,T_2_label\np1,a.nii.gz,al.nii.gz\n", Fault.MALFORMED),
        ("Patient,T2,T2_label\np1,a.nii.gz,al.nii.gz\n", Fault.MISSING),
        ("name,T2,T2_label\np1,a.nii.gz,al.nii.gz\n", Fault.MISSING),
        ("patient,T2,T2_label\n", Fault.EMPTY),
        ("", Fault.EMPTY),
        ("\n\n", Fault.EMPTY),
        ("patient,T2,T2_label\np1,a.nii.gz\n", Fault.MALFORMED),
        ("patient,T2,T2_label\np1,a.nii.gz,al.nii.gz,x\n", Fault.MALFORMED),
        ("patient,T2,T2_label\np1,.,al.nii.gz\n", Fault.WRONG_TYPE),
        ("patient,T2,T2_label\np1,c.csv,al.nii.gz\n", Fault.WRONG_TYPE),
        ("patient,T2,T2_label\np1,,al.nii.gz\n", Fault.MISSING),
        ("patient,T2,T2_label\np1,a.nii.gz,\n", Fault.MISSING),
        ("patient,T2,T2_label\np1,a.nii.gz,al.nii.gz\np2,a.nii.gz,al.nii.gz\n", Fault.REPEATED),
        ("patient,T2,T2_label\nP1,a.nii.gz,al.nii.gz\np1,b.nii.gz,bl.nii.gz\n", Fault.REPEATED),
        (
            "patient,T2,T2_label,split\np1,a.nii.gz,al.nii.gz,test\np2,b.nii.gz,bl.nii.gz,val\n",
            Fault.TOO_FEW,
        ),
        ("patient,T2,T2_label,T2_first,T2_last\np1,a.nii.gz,al.nii.gz,4,\n", Fault.MISSING),
        ("patient,T2,T2_label,T2_first,T2_last\np1,a.nii.gz,al.nii.gz,4,3\n", Fault.CONTRADICTION),
        ("patient,T2,T2_label,T2_first,T2_last\np1,a.nii.gz,al.nii.gz,-1,3\n", Fault.MALFORMED),
        ("patient,T2,T2_label,T2_annotated\np1,a.nii.gz,al.nii.gz,9-7\n", Fault.MALFORMED),
        (
            "patient,T2,T2_label,T2_annotated,label_kind\np1,a.nii.gz,al.nii.gz,7,fine\n",
            Fault.CONTRADICTION,
        ),
        ("patient,T2,T2_label,label_kind\np1,a.nii.gz,al.nii.gz,rough\n", Fault.UNKNOWN_NAME),
    ],
)
def test_every_problem_has_a_place_and_a_fault(tmp_path: Path, text: str, fault: Fault):
    lines = problems(tmp_path, text)
    assert lines[0].fault is fault
    assert all(line.startswith("c.csv") for line in lines)


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"PK\x03\x04\x14\x00\x06\x00", Fault.WRONG_TYPE),  # an Excel workbook
        (b"\xd0\xcf\x11\xe0\xa1\xb1", Fault.WRONG_TYPE),  # an old one
        (b"patient\0T2", Fault.WRONG_TYPE),
        (b"patient,T2\n\xff\xfe\n", Fault.WRONG_TYPE),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), Fault.WRONG_TYPE),
        (b"\xef\xbb\xbf", Fault.EMPTY),
        (b'patient,T2,T2_label\n"' + b"x" * 200_000, Fault.DAMAGED),
    ],
)
def test_a_file_that_is_not_a_table(tmp_path: Path, content: bytes, fault: Fault):
    table = tmp_path / "c.csv"
    table.write_bytes(content)
    with pytest.raises(InputError) as caught:
        parse_cohort(table)
    (line,) = caught.value.problems
    assert line.fault is fault
    assert "c.csv" in line


def test_a_missing_table_and_a_folder(tmp_path: Path):
    for path, fault in ((tmp_path / "none.csv", Fault.MISSING), (tmp_path, Fault.WRONG_TYPE)):
        with pytest.raises(InputError) as caught:
            read_cohort(path)
        assert caught.value.fault is fault


@pytest.mark.parametrize(
    "column", ["age", "size_cm", "location", "malignancy", "sex", "scanner", "site", "T1w", "T3"]
)
def test_covariates_are_not_typing_errors(column: str):
    columns = classify_columns(["patient", "T1", "T1_label", "T2", "T2_label", "split", column])
    assert columns.covariates == (column,)
    assert columns.problems == ()


def test_slices_there_and_back():
    assert parse_slices("7-9, 11;13 - 14") == (7, 8, 9, 11, 13, 14)
    assert format_slices((14, 7, 8, 9, 11, 13)) == "7-9,11,13-14"
    assert format_slices(()) == ""
    for wrong in ("", "7-", "a", "7--9", "9-7", "1.5"):
        with pytest.raises(ValueError):
            parse_slices(wrong)


def test_edit_distance():
    assert edit_distance("label", "label") == 0
    assert edit_distance("lable", "label") == 1
    assert edit_distance("", "abc") == 3
    assert near_miss("T2 label", ["T2_label"]) == "T2_label"
    assert near_miss("T3", ["T2"]) is None


@pytest.mark.parametrize(
    ("text", "column"),
    [
        # The mask in the place of the image.
        ("patient,T2,T2_label\np1,al.nii.gz,al.nii.gz\n", "T2_label"),
        # One scan as two sequences.
        ("patient,T1,T1_label,T2,T2_label\np1,a.nii.gz,al.nii.gz,a.nii.gz,bl.nii.gz\n", "T2"),
        (
            "patient,T1,T1_label,T2,T2_label\np1,a.nii.gz,al.nii.gz,al.nii.gz,bl.nii.gz\n",
            "T1_label",
        ),
    ],
)
def test_an_image_has_one_role(tmp_path: Path, text: str, column: str):
    (line,) = problems(tmp_path, text)
    assert f"column {column}" in line or f"'{column}'" in line
    assert line.fault is Fault.REPEATED


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient,t2,t2_label\np1,a.nii.gz,al.nii.gz\n", "column t2: did you mean 'T2'?"),
        ("patient,t2,T2_label\np1,a.nii.gz,al.nii.gz\n", "t2: unknown column; did you mean 'T2'"),
        ("patient,T2,t2_label\np1,a.nii.gz,al.nii.gz\n", "did you mean 'T2_label'"),
        ("patient,FLAIR,flair_label\np1,a.nii.gz,al.nii.gz\n", "did you mean 'FLAIR_label'"),
        ("patient,T2,T2_label,SPLIT\np1,a.nii.gz,al.nii.gz,train\n", "did you mean 'split'"),
        ("PATIENT,T2,T2_label\np1,a.nii.gz,al.nii.gz\n", "'patient'; rename 'PATIENT' to it"),
        # The consequences of an error are not reported.
        ("patient,T2,T2_lable\np1,a.nii.gz,al.nii.gz\n", "did you mean 'T2_label'"),
        ("patient,T2\np1,a.nii.gz\np2,b.nii.gz\n", "column T2_label: there is no such column"),
        ("patient,T2,T2_label\np1,,al.nii.gz\n", "'T2' (the image) is empty"),
        ("patient,T2,T2_label,split\np1,a.nii.gz,al.nii.gz,trian\n", "'trian' is unknown"),
        ("patient,T2,T2_label,age\np1,a.nii.gz,al.nii.gz\n", "3 cells under 4 columns"),
        (
            "patient,T2,T2_label,T2_first,T2_last\np1,a.nii.gz,al.nii.gz,-1,3\n",
            "'-1' is not a slice number",
        ),
        (
            "patient,T2,T2_label,T2_first,T2_last\np1,a.nii.gz,al.nii.gz,3,many\n",
            "'many' is not a slice number",
        ),
    ],
)
def test_one_line_names_the_culprit(tmp_path: Path, text: str, message: str):
    (line,) = problems(tmp_path, text)
    assert message in line


def test_all_columns_come_together(tmp_path: Path):
    lines = problems(tmp_path, "Patient,t2,t2_label,SPLIT\np1,a.nii.gz,al.nii.gz,train\n")
    assert [line.partition(":")[0] for line in lines] == [
        "c.csv, row 1",
        "c.csv, column t2",
        "c.csv, column SPLIT",
    ]


def test_one_mask_may_serve_two_sequences(tmp_path: Path):
    text = "patient,T1,T1_label,T2,T2_label\np1,a.nii.gz,al.nii.gz,b.nii.gz,al.nii.gz\n"
    assert len(read_cohort(write(tmp_path, text)).patients) == 1
