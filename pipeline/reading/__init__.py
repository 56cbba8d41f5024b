"""Reading many pictures with the packaged models: from folders and Parquet files to tables and datasets of readings."""
