"""Networks in plain torch: taggers, detectors, query nets and separators."""
