"""Reads a Parquet file with DuckDB and with pyarrow, whose sums have to be the same."""

import json
import sys

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq

path = sys.argv[1]
COLUMNS = ["calls", "bytes", "live_blocks", "live_bytes", "peak_bytes"]
query = ", ".join(f"sum({name})::bigint" for name in COLUMNS)
by_duckdb = duckdb.execute(f"select {query} from read_parquet($1)", [path]).fetchone()
table = pq.read_table(path)
by_arrow = tuple(pc.sum(table[name]).as_py() for name in COLUMNS)
wrong = [] if by_duckdb == by_arrow else [f"{by_duckdb} {by_arrow}"]
first = duckdb.execute(
    """select distinct program, length(build_id), typeof(start), date_diff('year', "start", now()::timestamptz) < 2,
    typeof(stack), min(length(stack)) > 0, max(length(stack)) > 4, bool_and(coalesce(pc0, '') = '' or list_contains(stack, pc0))
    from read_parquet($1) group by all""",
    [path],
).fetchall()
names = [row[0] or "-" for row in duckdb.execute("select distinct pc0 from read_parquet($1)", [path]).fetchall()]
if names != [name for name in names if isinstance(name, str)]:
    wrong.append("names")
schema = duckdb.execute("describe select * from read_parquet($1)", [path]).fetchall()
print(
    json.dumps(
        {
            **dict(zip(COLUMNS, by_arrow)),
            "first": [str(value) for value in first[0]],
            "names": names,
            "columns": {row[0]: row[1] for row in schema},
            "metadata": json.loads(pq.read_metadata(path).metadata[b"skipheap"])["processes"][0]["program"],
            "wrong": wrong,
        }
    )
)
