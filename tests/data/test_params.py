import pytest
from pydantic import ValidationError

from crmlab.data import SCHEMA, DataParams
from crmlab.data.likely import WORDS
from crmlab.data.params import FileParams
from crmlab.data.schema import IDENTITY, KEYS, TYPES, identifies


def test_a_misspelt_source_option_table_or_column_is_guessed():
    for given, said in [
        ({"source": "cdnwo"}, "did you mean 'cdnow'"),
        ({"source": "cdnow", "options": {"sampel": True}}, "options.sampel: no such option; did you mean 'sample'"),
        ({"source": "cdnow", "options": {"sample": "perhaps"}}, "options.sample: got 'perhaps', expected a valid bool"),
        ({"source": "cdnow", "options": {"sample": 1}}, "options.sample: got 1"),
        ({"source": "simulated", "options": {"seed": "7"}}, "options.seed: got '7'"),
        ({"source": "simulated", "options": {"n_customers": True}}, "options.n_customers: got True"),
        ({"files": {"transaction": {"path": "x.csv"}}}, "did you mean 'transactions'"),
        ({"files": {"transactions": {"path": "x.csv", "columns": {"amuont": "x"}}}}, "did you mean 'amount'"),
    ]:
        with pytest.raises(ValidationError) as refused:
            DataParams.model_validate(given)
        assert said in str(refused.value)


def test_either_a_source_or_files_and_never_both_or_none():
    for given in ({}, {"source": "cdnow", "files": {"transactions": {"path": "x.csv"}}}):
        with pytest.raises(ValidationError, match="either 'source' or 'files'"):
            DataParams.model_validate(given)
    with pytest.raises(ValidationError, match="'options' belong to a 'source'"):
        DataParams.model_validate({"files": {"transactions": {"path": "x.csv"}}, "options": {"sample": True}})


def test_customers_may_carry_covariates_of_any_name():
    assert DataParams(files={"customers": FileParams(path="x.csv", columns={"shoe_size": "s"})})


def test_the_schema_speaks_of_columns_it_has():
    for schema in SCHEMA.values():
        assert set(schema.required) <= set(schema.columns)
        assert schema.date is None or schema.columns[schema.date] == "date"
        assert set(schema.columns.values()) <= set(TYPES)
    assert all(key in SCHEMA[table].required for table, key in KEYS.items())


def test_whatever_may_be_proposed_as_identity_is_never_a_covariate():
    for column in IDENTITY:
        assert all(identifies(word) for word in (column, *WORDS[column].split()))
    assert not any(map(identifies, ("region", "club", "nomination", "birth_year")))
