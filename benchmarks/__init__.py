"""What Midcourse costs, measured beside what people would use instead. See README.md.

No part of the plugin; run from a checkout, as in `python -m benchmarks.log_cost`.
"""
