"""From outcomes to a score card and report.json."""
