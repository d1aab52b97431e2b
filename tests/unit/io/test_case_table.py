import pytest

from nnunet_pst.errors import Fault, InputError
from nnunet_pst.io.case_table import (
    CASE_COLUMNS,
    cases_of_dataset,
    read_case_table,
    rows_by_patient,
)

HEADER = ",".join(CASE_COLUMNS) + ",volume_ml\n"


def write(folder, text):
    (folder / "cases.csv").write_text(text)
    return folder / "cases.csv"


def test_rows_are_read_and_grouped_by_patient(tmp_path):
    write(tmp_path, HEADER + "A_T1,A,T1,train,coarse,7-17,,,1.5\nB_T1,B,T1,test,fine,,,,\n"
          "A_T2,A,T2,train,fine,,,,1.5\n")  # fmt: skip
    rows = cases_of_dataset(tmp_path)
    assert [row["case"] for row in rows] == ["A_T1", "B_T1", "A_T2"]
    assert rows[0]["annotated"] == "7-17"
    assert rows[1]["volume_ml"] == ""
    assert [row["sequence"] for row in rows_by_patient(rows)["A"]] == ["T1", "T2"]


def test_a_dataset_without_a_table_has_no_rows(tmp_path):
    assert cases_of_dataset(tmp_path) == []
    with pytest.raises(InputError) as caught:
        read_case_table(tmp_path / "cases.csv")
    assert caught.value.fault is Fault.MISSING


def test_every_bad_name_is_reported_at_once(tmp_path):
    table = write(tmp_path, HEADER + "../x,A,T1,train,,,,,\nB,B,T1,train,,,,,\nB,C,T1,train,,,,,\n")
    with pytest.raises(InputError) as caught:
        read_case_table(table)
    assert [p.fault for p in caught.value.problems] == [Fault.MALFORMED, Fault.REPEATED]


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(InputError, match="sequence, split"):
        read_case_table(write(tmp_path, "case,patient\nA,A\n"))


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ((HEADER + "A,Müller,T1,train,,,,,\n").encode("cp1252"), Fault.WRONG_TYPE),
        (HEADER.replace(",", ";").encode() + b"A;A;T1;train;;;;;\n", Fault.MALFORMED),
        (HEADER.encode() + b'A,"' + b"x" * 200_000 + b'",T1,train,,,,,\n', Fault.DAMAGED),
    ],
    ids=["another encoding", "semicolons", "a cell without end"],
)
def test_what_spreadsheets_make_of_a_table_is_refused(tmp_path, content: bytes, fault: Fault):
    (tmp_path / "cases.csv").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_case_table(tmp_path / "cases.csv")
    assert [problem.fault for problem in caught.value.problems] == [fault]


def test_an_unknown_split_is_refused(tmp_path):
    table = write(tmp_path, HEADER + "A,A,T1,tset,,,,,\nB,B,T1,test,,,,,\nC,C,T1,,,,,,\n")
    with pytest.raises(InputError) as caught:
        read_case_table(table)
    expected = "is not a split; write 'train' or 'val' or 'test'"
    assert caught.value.fault is Fault.UNKNOWN_NAME
    assert caught.value.problems == [
        f"{table}, row 2, column split: 'tset' {expected}",
        f"{table}, row 4, column split: '' {expected}",
    ]


def test_a_table_of_another_kind_gives_few_lines(tmp_path):
    lines = "".join(f"case{n},A,T1,fold{n},,,,,\n" for n in range(50))
    with pytest.raises(InputError) as caught:
        read_case_table(write(tmp_path, HEADER + lines))
    assert len(caught.value.problems) == 5
    assert caught.value.problems[-1] == "and 46 more like the last one"


def test_cells_without_a_heading_are_not_dropped(tmp_path):
    path = tmp_path / "cases.csv"
    path.write_text("case,patient,sequence,split\na,P1,T2,train,7,8\n")
    with pytest.raises(InputError) as caught:
        read_case_table(path)
    assert caught.value.fault is Fault.MALFORMED
    path.write_text("case,patient,sequence,split\na,P1,T2,train,,\n")
    assert read_case_table(path) == [
        {"case": "a", "patient": "P1", "sequence": "T2", "split": "train"}
    ]
