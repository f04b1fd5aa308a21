"""Networks in plain torch: taggers, detectors, query nets and separators, and the folder they live in."""
