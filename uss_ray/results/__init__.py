"""What a separation leaves behind: stems, residuals, an index in Parquet, one HTML report a recording."""
