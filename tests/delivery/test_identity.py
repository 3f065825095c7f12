"""Identity is read for deliveries alone: mapped names, any source, contradictions nowhere guessed, nothing told."""

import pandas as pd
import pytest

from crmlab.contract import Refused
from crmlab.data.identity import read_identity
from crmlab.data.params import DataParams
from crmlab.stage.inputs import connect


def read(folder, text, columns=None, *, name="people.csv", **how):
    (folder / "params").mkdir(exist_ok=True)
    if text is not None:
        (folder / name).write_text(text, encoding="utf-8")
    params = DataParams(files={"customers": {"path": f"../{name}", "columns": columns or {}, **how}})
    return read_identity(params, folder / "params", connect())


def test_mapped_and_canonical_columns_are_read_as_text_and_others_are_not(tmp_path):
    text = 'id;Mail;first_name;Tel;club\n00123; a@x.it ;"Ada ""A"" = L";+39 333;1\nNA;;Bo;;0\n'
    found = read(tmp_path, text, {"customer_id": "id", "email": "Mail", "phone": "Tel"}, separator=";")
    assert found.to_dict("records") == [
        {"customer_id": "00123", "email": "a@x.it", "first_name": 'Ada "A" = L', "phone": "+39 333"},
        {"customer_id": "NA", "email": "", "first_name": "Bo", "phone": ""},
    ]


def test_rows_of_one_customer_that_contradict_each_other_leave_the_field_empty(tmp_path):
    text = "customer_id,email,phone\nb,b@x.it,\na,a@x.it,+391\na,other@x.it,\na,,+391\n,c@x.it,\n"
    found = read(tmp_path, text)
    assert found.to_numpy().tolist() == [["a", "", "+391"], ["b", "b@x.it", ""]]


def test_parquet_is_read_too(tmp_path):
    pd.DataFrame({"customer_id": [7, 8], "email": ["a@x.it", None]}).to_parquet(tmp_path / "people.parquet")
    found = read(tmp_path, None, name="people.parquet")
    assert found.to_numpy().tolist() == [["7", "a@x.it"], ["8", ""]]


def test_a_missing_id_is_said_without_a_value(tmp_path):
    with pytest.raises(Refused, match="no column 'customer_id'; map it") as refused:
        read(tmp_path, "id,email\n1,secret@x.it\n")
    assert "secret" not in str(refused.value)


def test_a_line_that_is_no_row_loses_nobody_else_and_is_not_told(tmp_path):
    text = "customer_id,email\na,a@x.it\nb,secret@x.it,too,many\nc,c@x.it\n"
    assert read(tmp_path, text)["customer_id"].to_list() == ["a", "c"]


def test_without_a_file_of_customers_there_is_no_identity(tmp_path):
    params = DataParams(files={"transactions": {"path": "../t.csv"}})
    with pytest.raises(Refused, match=r"data\.files\.customers"):
        read_identity(params, tmp_path, connect())
