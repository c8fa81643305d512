"""Report writers, templates and the JSON Schema of report.json."""
