"""Reading words: recursive recurrent nets with attention (Lee and Osindero 2016, arXiv 1603.03101)."""
