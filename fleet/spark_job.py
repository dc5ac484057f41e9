#!/usr/bin/env python3
"""What a fleet allocates, from the dataset that `skip-heapprof merge --parquet FOLDER` writes. For Spark:

    spark-submit fleet/spark_job.py FOLDER OUTPUT [--top 20] [--growth 50]

FOLDER and OUTPUT are paths or URLs that Spark can use. OUTPUT gets the tables `top_sites`, `growth` and `trend`
as Parquet. query.sql computes the same.
"""

import argparse

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

FRAMES = ["pc0", "pc1", "pc2", "pc3"]


def sites(spark: SparkSession, folder: str) -> DataFrame:
    """One row per site and process, or per site of the runs that were compacted."""
    # A program's name may look like a number.
    spark.conf.set("spark.sql.sources.partitionColumnTypeInference.enabled", "false")
    table = spark.read.parquet(folder)
    program = F.coalesce("program", F.lit("")).alias("program")
    build = F.coalesce("build_id", F.lit("")).alias("build")
    # Builds are in the order of their commits where runs are labelled with them, else of their first runs.
    commit = F.regexp_extract(F.array_join("labels", "\n"), "(?m)^commit_time=(.*)$", 1)
    moment = F.coalesce(F.try_to_timestamp(commit), "start").alias("moment")
    return table.select(program, build, "date", "process", "runs", moment, *FRAMES, "size", "calls",
                        "bytes").where("calls > 0")


def runs(table: DataFrame) -> DataFrame:
    """How many runs a build has. A run without allocations has no row and is not counted."""
    processes = table.select("program", "build", "date", "process", "runs", "moment").distinct()
    return processes.groupBy("program", "build").agg(
        F.sum("runs").alias("runs"), F.min("moment").alias("first"))


def top_sites(table: DataFrame) -> DataFrame:
    """The sites of all runs of a build, as `merge --by build` sums them up; the largest first."""
    sums = table.groupBy("program", "build", *FRAMES, "size").agg(
        F.sum("calls").alias("calls"), F.sum("bytes").alias("bytes"))
    order = [F.desc("bytes"), F.desc("calls"), *map(F.asc_nulls_first, FRAMES), "size"]
    place = F.row_number().over(Window.partitionBy("program", "build").orderBy(*order))
    return sums.select("program", "build", place.alias("place"), *FRAMES, "size", "calls", "bytes")


def growth(table: DataFrame) -> DataFrame:
    """How much a site, of whatever sizes, grew from a build to the next one: bytes of a run on average, over
    all runs of a build."""
    builds = runs(table)
    before = Window.partitionBy("program").orderBy("first", "build")
    pairs = builds.select("program", F.col("build").alias("new_build"),
                          F.lag("build").over(before).alias("old_build")).where("old_build is not null")
    figures = table.drop("runs").join(builds.select("program", "build", "runs"), ["program", "build"]).groupBy(
        "program", "build", *FRAMES).agg((F.sum("bytes") / F.max("runs")).alias("of_run"))

    def share(build, old, new):
        joined = pairs.join(figures.withColumnRenamed("build", build), ["program", build])
        return joined.select("program", "old_build", "new_build", *FRAMES,
                             old.alias("old_bytes"), new.alias("new_bytes"))

    nothing = F.lit(0.0)
    both = share("new_build", nothing, F.col("of_run")).unionByName(
        share("old_build", F.col("of_run"), nothing))
    sums = both.groupBy("program", "old_build", "new_build", *FRAMES).agg(
        F.sum("old_bytes").alias("old_bytes"), F.sum("new_bytes").alias("new_bytes"))
    return sums.withColumn("growth", F.col("new_bytes") - F.col("old_bytes"))


def trend(table: DataFrame) -> DataFrame:
    """What a run of each build allocates on average."""
    sums = table.groupBy("program", "build").agg(F.sum("calls").alias("calls"), F.sum("bytes").alias("bytes"))
    joined = runs(table).join(sums, ["program", "build"])
    return joined.select("program", "build", "first", "runs",
                         (F.col("calls") / F.col("runs")).alias("calls_per_run"),
                         (F.col("bytes") / F.col("runs")).alias("bytes_per_run"))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__,
                                        formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("folder")
    arguments.add_argument("output")
    arguments.add_argument("--top", type=int, default=20, help="sites of each build")
    arguments.add_argument("--growth", type=int, default=50, help="sites that grew most")
    options = arguments.parse_args()
    spark = SparkSession.builder.appName("skipheap fleet").getOrCreate()
    table = sites(spark, options.folder)
    largest = top_sites(table).where(F.col("place") <= options.top)
    largest.write.mode("overwrite").parquet(f"{options.output}/top_sites")
    order = [F.desc("growth"), "program", "new_build", *FRAMES]
    grown = growth(table).orderBy(*order).limit(options.growth)
    grown.write.mode("overwrite").parquet(f"{options.output}/growth")
    trend(table).orderBy("program", "first", "build").write.mode("overwrite").parquet(f"{options.output}/trend")
    spark.stop()


if __name__ == "__main__":
    main()
