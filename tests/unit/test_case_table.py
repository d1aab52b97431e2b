import pytest

from nnunet_pst.case_table import CASE_COLUMNS, cases_of_dataset, read_case_table, rows_by_patient
from nnunet_pst.errors import InputError

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
    with pytest.raises(InputError, match="is missing"):
        read_case_table(tmp_path / "cases.csv")


def test_every_bad_name_is_reported_at_once(tmp_path):
    table = write(tmp_path, HEADER + "../x,A,T1,train,,,,,\nB,B,T1,train,,,,,\nB,C,T1,train,,,,,\n")
    with pytest.raises(InputError) as stopped:
        read_case_table(table)
    assert len(stopped.value.problems) == 2


def test_missing_columns_are_named(tmp_path):
    with pytest.raises(InputError, match="sequence, split"):
        read_case_table(write(tmp_path, "case,patient\nA,A\n"))
