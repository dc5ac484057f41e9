-- What a fleet allocates, from the dataset that `skip-heapprof merge --parquet FOLDER` writes. For DuckDB:
--
--     duckdb -cmd "set variable fleet = 'FOLDER'" < fleet/query.sql
--
-- `spark_job.py` computes the same.

-- One row per site and process, or per site of the runs that were compacted.
create or replace temp view sites as
select
    coalesce(program, '') as program, coalesce(build_id, '') as build, date, process, runs,
    -- Builds are in the order of their commits where runs are labelled with them, else of their first runs.
    coalesce(
        try_cast(regexp_extract(array_to_string(labels, chr(10)), '(?m)^commit_time=(.*)$', 1) as timestamptz),
        start
    ) as moment,
    pc0, pc1, pc2, pc3, size, calls, bytes
from read_parquet(
    getvariable('fleet') || '/*/*/*.parquet',
    hive_partitioning = true,
    hive_types = {'program': varchar, 'date': date}
)
where calls > 0;

-- How many runs a build has. A run without allocations has no row and is not counted.
create or replace temp view runs as
select program, build, sum(runs)::bigint as runs, min(moment) as first
from (select distinct program, build, date, process, runs, moment from sites)
group by all;

-- The sites of all runs of a build, as `merge --by build` sums them up; the largest first.
create or replace temp view top_sites as
select
    program, build,
    row_number() over (
        partition by program, build
        order by
            sum(bytes) desc, sum(calls) desc, pc0 nulls first, pc1 nulls first, pc2 nulls first,
            pc3 nulls first, size
    ) as place,
    pc0, pc1, pc2, pc3, size, sum(calls)::bigint as calls, sum(bytes)::bigint as bytes
from sites
group by program, build, pc0, pc1, pc2, pc3, size;

-- How much a site, of whatever sizes, grew from a build to the next one: bytes of a run on average, over all
-- runs of a build.
create or replace temp view growth as
with builds as (
    select *, lag(build) over (partition by program order by first, build) as old_build
    from runs
),
figures as (
    select program, build, pc0, pc1, pc2, pc3, sum(bytes) / max(runs.runs) as bytes
    from sites join runs using (program, build)
    group by all
),
pairs as (
    select program, old_build, build, pc0, pc1, pc2, pc3, 0.0 as old_bytes, bytes as new_bytes
    from builds join figures using (program, build)
    union all
    select builds.program, old_build, builds.build, pc0, pc1, pc2, pc3, bytes, 0.0
    from builds
    join figures on figures.program = builds.program and figures.build = builds.old_build
)
select
    program, old_build, build as new_build, pc0, pc1, pc2, pc3,
    sum(old_bytes) as old_bytes, sum(new_bytes) as new_bytes,
    sum(new_bytes) - sum(old_bytes) as growth
from pairs
where old_build is not null
group by all;

-- What a run of each build allocates on average, in the order of the builds.
create or replace temp view trend as
select
    program, build, first, runs,
    sum(calls)::double / max(runs) as calls_per_run, sum(bytes)::double / max(runs) as bytes_per_run
from (select program, build, calls, bytes from sites) join runs using (program, build)
group by program, build, first, runs
order by program, first, build;

select * from top_sites where place <= 20 order by program, build, place;

select * from growth
order by growth desc, program, new_build, pc0, pc1, pc2, pc3
limit 50;

select * from trend;
