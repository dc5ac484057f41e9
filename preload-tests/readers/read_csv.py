"""Reads a CSV with Python's csv module and with DuckDB, which has to find out by itself what the columns are."""

import csv
import json
import sys

import duckdb

path = sys.argv[1]
with open(path, newline="", encoding="utf-8") as file:
    rows = list(csv.DictReader(file, strict=True))
wrong = [row for row in rows if None in row or None in row.values()]
calls = sum(int(row["call count"]) for row in rows)
total = sum(int(row["total bytes"]) for row in rows)
names = sorted({row["pc0"] for row in rows})
rows_of_file = duckdb.read_csv(path)
types = dict(zip(rows_of_file.columns, map(str, rows_of_file.types)))
sums = duckdb.sql('select sum("call count"), sum("total bytes"), count(*) from rows_of_file').fetchall()[0]
if tuple(map(int, sums)) != (calls, total, len(rows)):
    wrong.append(f"{sums} {(calls, total, len(rows))}")
if sorted(row[0] for row in duckdb.sql("select distinct pc0 from rows_of_file").fetchall()) != names:
    wrong.append("names")
print(json.dumps({"calls": calls, "bytes": total, "names": names, "types": types, "wrong": wrong}))
