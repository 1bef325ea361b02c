"""Writes the table of values in the chart's README from the `# --` comments of values.yaml. A test holds the two equal."""

import json
import pathlib
import re

import yaml

CHART = pathlib.Path(__file__).resolve().parents[2] / "deploy/chart"
START, END = "<!-- values: made by tests/deploy/chart_readme.py -->\n", "<!-- end of values -->\n"


def described():
    """(key, default, description) of every value that has a comment; every leaf must be below one that has."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows, path, comment = [], [], None
    for line in text.splitlines():
        if m := re.match(r"\s*# -- (.*)", line):
            comment = m.group(1)
        elif m := re.match(r"( *)([A-Za-z]+):", line):
            path = path[: len(m.group(1)) // 2] + [m.group(2)]
            if comment:
                value = values
                for key in path:
                    value = value[key]
                rows.append((".".join(path), value, comment))
            comment = None
    return values, rows


def wanted():
    values, rows = described()
    keys = [key for key, _, _ in rows]

    def check(value, path):
        if ".".join(path) in keys:
            return
        assert isinstance(value, dict) and value, f"{'.'.join(path)} has no comment"
        for key, inner in value.items():
            check(inner, path + [key])

    for key, value in values.items():
        check(value, [key])
    table = "| value | default | |\n|---|---|---|\n"
    for key, value, comment in rows:
        table += f"| `{key}` | `{json.dumps(value)}` | {comment.replace('|', '&#124;')} |\n"
    text = (CHART / "README.md").read_text()
    return text[: text.index(START) + len(START)] + table + text[text.index(END) :]


def current():
    return (CHART / "README.md").read_text()


if __name__ == "__main__":
    (CHART / "README.md").write_text(wanted())
