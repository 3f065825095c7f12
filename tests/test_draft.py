"""A params file proposed for files nobody has described: what is found is said, what is in doubt is asked."""

import gzip
import random
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from crmlab.check import check_study
from crmlab.contract import Refused, strict_yaml
from crmlab.draft import draft_study
from crmlab.study import load_study

ITALIAN = {
    "ordini.csv": "Codice Cliente;Data ordine;Importo;N. scontrino\n"
    + "".join(f"C{i % 7:03};{1 + i % 28:02}/0{1 + i % 9}/2025;{i},50;S{i}\n" for i in range(60)),
    "anagrafica clienti.csv": "codice cliente;nome;e-mail;regione\n"
    + "".join(f"C{i:03};Anna {i};anna{i}@posta.it;Lazio\n" for i in range(7)),
}


def draft(folder: Path, texts: dict[str, str | bytes], name: str = "shop") -> tuple[str, dict, str]:
    """Write the files, draft their params file, and return what was told, its values and its text."""
    (folder / "data").mkdir(exist_ok=True)
    for file, text in texts.items():
        (folder / "data" / file).write_bytes(text if isinstance(text, bytes) else text.encode())
    told = draft_study(name, folder / "data", into=folder / "params")
    path = folder / "params" / f"{name}.yaml"
    return told, strict_yaml.load(path), path.read_text()


def test_a_draft_of_plain_files_needs_no_mending_to_be_checked(tmp_path):
    told, _, _ = draft(tmp_path, ITALIAN)
    assert "ordini.csv: taken for transactions" in told
    files = load_study(tmp_path / "params/shop.yaml").study.data.files
    assert dict(files["transactions"].columns) == {
        "customer_id": "Codice Cliente",
        "date": "Data ordine",
        "amount": "Importo",
        "order_id": "N. scontrino",
    }
    assert (files["transactions"].date_format, files["transactions"].decimal) == ("%d/%m/%Y", ",")
    assert files["customers"].columns["email"] == "e-mail"
    checked = check_study(tmp_path / "params/shop.yaml")
    assert checked.exit_code == 0, checked.refusal
    assert checked.tables["transactions"]["rows_kept"] == 60
    assert checked.tables["transactions"]["sum_amount"] == sum(i + 0.5 for i in range(60))


def test_no_value_of_a_person_reaches_the_draft(tmp_path):
    told, _, text = draft(tmp_path, ITALIAN)
    assert "anna" not in (told + text).lower()
    assert "C001" not in told + text


def test_dates_that_fit_two_formats_are_asked_about_and_refused_until_answered(tmp_path):
    rows = "".join(f"c{i},0{1 + i % 9}/0{1 + i % 8}/2025,{i}.5\n" for i in range(50))
    told, params, text = draft(tmp_path, {"orders.csv": "customer_id,date,amount\n" + rows})
    asked = params["data"]["files"]["transactions"]["date_format"]
    assert asked == "CHOOSE: %d/%m/%Y or %m/%d/%Y"
    assert "questions (CHOOSE)" in told
    checked = check_study(tmp_path / "params/shop.yaml")
    assert checked.exit_code == 2
    (said,) = [m for m in checked.messages if "date_format" in m]
    assert "%d/%m/%Y or %m/%d/%Y" in said
    assert "(line " in said
    answered = text.replace("CHOOSE: %d/%m/%Y or %m/%d/%Y", "%d/%m/%Y")
    answered = answered.replace("CHOOSE: the last day the data cover, as 2025-12-31", "2025-12-31")
    answered = answered.replace("CHOOSE: the first day of the first cycle, as 2025-06-01", "2025-06-01")
    (tmp_path / "params/shop.yaml").write_text(answered)
    assert check_study(tmp_path / "params/shop.yaml").exit_code == 0


def test_one_late_day_of_the_month_settles_the_format(tmp_path):
    rows = "".join(f"c{i},0{1 + i % 9}/0{1 + i % 8}/2025,{i}.5\n" for i in range(6000)) + "c1,31/01/2025,5.0\n"
    _, params, _ = draft(tmp_path, {"orders.csv": "customer_id,date,amount\n" + rows})
    assert params["data"]["files"]["transactions"]["date_format"] == "%d/%m/%Y"


@pytest.mark.parametrize(
    ("header", "asked"),
    [("client,day,total,revenue", "amount"), ("kunde,datum,menge_x,x", "amount"), ("a,date,amount,b", "customer_id")],
)
def test_a_column_that_may_be_several_or_none_is_asked_about(tmp_path, header, asked):
    rows = "".join(f"c{i % 9},2025-0{1 + i % 9}-11,{i}.5,{i}.25\n" for i in range(50))
    _, params, _ = draft(tmp_path, {"orders.csv": f"{header}\n{rows}"})
    assert params["data"]["files"]["transactions"]["columns"][asked].startswith("CHOOSE: ")


def test_two_files_for_one_table_are_asked_about(tmp_path):
    text = "client,day,total\n" + "".join(f"c{i % 9},2025-01-{1 + i % 28:02},{i}.5\n" for i in range(50))
    _, params, _ = draft(tmp_path, {"orders_2024.csv": text, "orders_2025.csv": text})
    asked = params["data"]["files"]["transactions"]["path"]
    assert asked == "CHOOSE: ../data/orders_2024.csv or ../data/orders_2025.csv"


def test_a_list_of_customers_and_contacts_is_not_asked_what_was_bought(tmp_path):
    ids = [f"c{i}" for i in range(60)]
    contacts = "customer_id,campaign_id,arm,sent_at,channel\n" + "".join(
        f"{c},a,called,2025-03-04,phone\n" for c in ids
    )
    _, params, text = draft(
        tmp_path,
        {"customers.csv": "customer_id,job\n" + "".join(f"{c},clerk\n" for c in ids), "contacts.csv": contacts},
    )
    assert set(params["data"]["files"]) == {"customers", "contacts"}
    assert "# transactions: none of the files" in text


def test_what_cannot_be_used_is_listed_with_the_reason(tmp_path):
    orders = ITALIAN["ordini.csv"]
    told, _, text = draft(
        tmp_path, {"ordini.csv": orders, "foto.png": b"\x89PNG\r\n", "nulla.csv": "", "x.csv": "a\n1\n"}
    )
    for name in ("foto.png", "nulla.csv", "x.csv"):
        assert f"# not used: {name}: " in text
        assert f"{name}: not used" in told


def test_names_that_are_yaml_or_hold_line_ends_stay_names(tmp_path):
    header = '"yes","data: {x","importo # totale"\n'
    rows = "".join(f"c{i % 9},2025-01-{1 + i % 28:02},{i}.5\n" for i in range(50))
    _, params, _ = draft(tmp_path, {"ordini #1: {a}.csv": header + rows})
    transactions = params["data"]["files"]["transactions"]
    assert transactions["path"] == "../data/ordini #1: {a}.csv"
    assert transactions["columns"]["date"] == "data: {x"
    assert transactions["columns"]["amount"] == "importo # totale"


def test_workbooks_and_parquet_are_looked_at_too(tmp_path):
    (tmp_path / "data").mkdir()
    random.seed(1)
    book = openpyxl.Workbook()
    book.active.append(["cliente", "data", "importo"])
    for i in range(40):
        book.active.append([f"c{i % 9}", f"2025-01-{1 + i % 28:02}", i + 0.5])
    book.save(tmp_path / "data" / "vendite.xlsx")
    pd.DataFrame({"product_id": ["a", "b"], "price": [1.5, 2.5]}).to_parquet(tmp_path / "data" / "products.parquet")
    _, params, _ = draft(tmp_path, {})
    assert set(params["data"]["files"]) == {"transactions", "products"}
    assert check_study(tmp_path / "params/shop.yaml").exit_code == 0


def test_files_outside_of_the_study_are_declared(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "ordini.csv").write_text(ITALIAN["ordini.csv"])
    draft_study("shop", tmp_path / "elsewhere", into=tmp_path / "home" / "params")
    assert check_study(tmp_path / "home/params/shop.yaml").tables["transactions"]["rows_kept"] == 60


def test_a_file_that_is_there_is_never_overwritten(tmp_path):
    draft(tmp_path, ITALIAN)
    before = (tmp_path / "params/shop.yaml").read_bytes()
    with pytest.raises(Refused, match="never overwritten"):
        draft_study("shop", tmp_path / "data", into=tmp_path / "params")
    assert (tmp_path / "params/shop.yaml").read_bytes() == before
    assert [p.name for p in (tmp_path / "params").iterdir()] == ["shop.yaml"]


@pytest.mark.parametrize("name", ["Shop", "../shop", "", "a b", "x" * 41, "-x", "shop\n"])
def test_a_name_that_is_none_is_refused_and_nothing_is_written(tmp_path, name):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ordini.csv").write_text(ITALIAN["ordini.csv"])
    with pytest.raises(Refused, match="small letters"):
        draft_study(name, tmp_path / "data", into=tmp_path / "params")
    assert not (tmp_path / "params").exists()


@pytest.mark.parametrize("texts", [{}, {"a.png": b"\x89PNG"}])
def test_a_folder_without_readable_files_is_refused(tmp_path, texts):
    with pytest.raises(Refused):
        draft(tmp_path, texts)
    assert not (tmp_path / "params").exists()
    with pytest.raises(Refused, match="no such folder"):
        draft_study("shop", tmp_path / "nowhere", into=tmp_path / "params")


@pytest.mark.parametrize("file", ["soppressioni.csv", "suppression.csv", "elenco.csv"])
def test_a_list_of_those_not_to_be_contacted_is_taken_for_nothing_else(tmp_path, file):
    rows = "".join(f";{i:064x};reclamo;{13 + i}/03/2025\n" for i in range(4)) + "C001;;reclamo;20/03/2025\n"
    told, params, _ = draft(tmp_path, ITALIAN | {file: "codice_cliente;email_sha256;motivo;data\n" + rows})
    assert f"{file}: taken for suppression" in told
    columns = params["data"]["files"]["suppression"]["columns"]
    assert columns["customer_id"] == "codice_cliente"
    assert columns["email_sha256"] == "email_sha256"


def test_a_file_that_only_names_customers_is_not_taken_for_suppression(tmp_path):
    told, _, _ = draft(tmp_path, ITALIAN | {"altro.csv": "codice_cliente\nC001\nC001\n"})
    assert "suppression" not in told


@pytest.mark.parametrize("name", ["clienti.csv", "consensi.csv", "x.csv"])
def test_a_file_of_consents_one_a_column_is_taken_for_customers(tmp_path, name):
    rows = "".join(f"c{i},yes,2025-01-01\n" for i in range(20))
    told, params, _ = draft(tmp_path, {name: "customer_id,consent_email,consent_date\n" + rows})
    assert f"{name}: taken for customers" in told
    assert params["data"]["files"]["customers"]["columns"] == {"customer_id": "customer_id"}


@pytest.mark.parametrize(
    ("header", "mapped"),
    [
        ("nome,cognome", {"first_name": "nome", "last_name": "cognome"}),
        ("cognome,nome", {"first_name": "nome", "last_name": "cognome"}),
        ("first_name,last_name", {"first_name": "first_name", "last_name": "last_name"}),
        ("FirstName,Surname", {"first_name": "FirstName", "last_name": "Surname"}),
        ("Vorname,Nachname", {"first_name": "Vorname", "last_name": "Nachname"}),
        ("prénom,nom", {"first_name": "prénom", "last_name": "nom"}),
        ("nombre,apellidos", {"first_name": "nombre", "last_name": "apellidos"}),
        ("nome,regione", {"name": "nome"}),
        ("nome_cognome,x", {"name": "nome_cognome"}),
    ],
)
def test_a_name_in_two_columns_is_proposed_as_two(tmp_path, header, mapped):
    rows = "".join(f"c{i},Anna{i % 9},Rossi{i % 7}\n" for i in range(20))
    _, params, _ = draft(tmp_path, {"clienti.csv": f"customer_id,{header}\n{rows}"})
    columns = params["data"]["files"]["customers"]["columns"]
    assert {c: raw for c, raw in columns.items() if "name" in c} == mapped


@pytest.mark.parametrize(
    ("file", "encoding", "declared"),
    [
        ("ordini.csv", "cp1252", "cp1252"),
        ("ordini.TXT.GZ", "cp1252", "cp1252"),
        ("ordini.csv", "utf-16", "utf-16"),
        ("ordini.csv", "utf-32", "utf-32"),
        ("ordini.csv", "utf-8-sig", "utf-8"),
    ],
)
def test_an_encoding_that_is_not_utf_8_is_declared_so_that_the_file_can_be_read(tmp_path, file, encoding, declared):
    text = "cliente;data;importo;città\n" + "".join(f"c{i % 9};2025-01-{1 + i % 28:02};{i};Forlì\n" for i in range(50))
    content = text.encode(encoding)
    draft(tmp_path, {file: gzip.compress(content) if file.endswith("GZ") else content})
    assert load_study(tmp_path / "params/shop.yaml").study.data.files["transactions"].encoding == declared
    assert check_study(tmp_path / "params/shop.yaml").tables["transactions"]["rows_kept"] == 50


@pytest.mark.parametrize(
    ("header", "mapped"),
    [
        ("Customer ID,InvoiceDate,Invoice,Quantity,Price", {"price": "Price", "quantity": "Quantity"}),
        ("Customer ID,InvoiceDate,Invoice,Quantity,Amount", {"amount": "Amount", "quantity": "Quantity"}),
        ("Customer ID,InvoiceDate,Invoice,Store,Price", {"amount": "Price"}),
    ],
)
def test_the_price_of_a_unit_is_not_taken_for_the_amount_of_a_line(tmp_path, header, mapped):
    rows = "".join(f"{100 + i % 30}.0,2025-01-{1 + i % 28:02},{i},{1 + i % 7},{i}.50\n" for i in range(200))
    _, params, _ = draft(tmp_path, {"sales.csv": f"{header}\n{rows}"})
    columns = params["data"]["files"]["transactions"]["columns"]
    assert columns["customer_id"] == "Customer ID"
    assert {c: columns[c] for c in ("amount", "price", "quantity") if c in columns} == mapped
