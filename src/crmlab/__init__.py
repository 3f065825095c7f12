"""crmlab: a company's customer relationship, run as a repeated experiment."""

__version__ = "0.1.0"
