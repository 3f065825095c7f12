"""Real and simulated data as canonical tables: schema, intake, data sets."""

from crmlab.data.intake import Intake, cut, read
from crmlab.data.locate import locate
from crmlab.data.params import DataParams, FileParams
from crmlab.data.reading import ReadingReport, reading_report
from crmlab.data.schema import SCHEMA, Tables
from crmlab.data.sources import SOURCES

__all__ = [
    "SCHEMA",
    "SOURCES",
    "DataParams",
    "FileParams",
    "Intake",
    "ReadingReport",
    "Tables",
    "cut",
    "locate",
    "read",
    "reading_report",
]
